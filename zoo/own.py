"""A user's own parts: config folders named on a command line, code beside where it is typed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

_FLAGS = ("--config-dir", "-cd")


def split(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The config folders that a command line names, and its other arguments.

    >>> split(["samplers", "--config-dir", "mine"])
    ([PosixPath('mine')], ['samplers'])
    >>> split(["hydra.searchpath=[file:///a,b]", "seed=1"])
    ([PosixPath('/a'), PosixPath('b')], ['seed=1'])
    """
    folders: list[Path] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        flag, _, value = argument.partition("=")
        if flag in _FLAGS:
            folders.append(Path(value or next(waiting, "")))
        elif flag.lstrip("+") == "hydra.searchpath":
            places = value.strip("[]").split(",")
            folders += [found for place in places if (found := _folder(place.strip(" '\"")))]
        else:
            rest.append(argument)
    return folders, rest


def importable() -> None:
    """Makes modules in the current folder importable, as ``python -m`` does.

    It comes last on the path: nobody's ``random.py`` takes the place of Python's.
    """
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _folder(place: str) -> Path | None:
    """The folder of ``file:///path``, ``pkg://package.folder`` or a plain path."""
    if not place.startswith("pkg://"):
        return Path(re.sub("^file://", "", place)) if place else None
    try:
        found = find_spec(place.removeprefix("pkg://"))
    except ImportError:
        return None
    locations = list(found.submodule_search_locations or []) if found is not None else []
    return Path(locations[0]) if locations else None
