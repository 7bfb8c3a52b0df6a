"""Overrides as text, and the folders of a user's own among them.

Hydra's own parser is not used here: ``--help`` and the arguments that hydra must not see are read
before it is imported, which takes longer than all of this.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

_SUBMITIT = "hydra_plugins.hydra_submitit_launcher"
_FLAGS = ("--config-dir", "-cd")
_PLAIN_QUOTES = re.compile(r"'(?!(?:true|false|null|nan|inf)')([a-z_][a-z0-9_./-]*)'")


def quoted(text: str | Path) -> str:
    r"""A text in hydra's override grammar.

    >>> print(quoted("it's"))
    'it\'s'
    """
    return "'" + str(text).replace("\\", "\\\\").replace("'", "\\'") + "'"


def key_of(override: str) -> str:
    """The key that an override sets.

    >>> key_of("+data.flip=true"), key_of("~callbacks.sample_grid")
    ('data.flip', 'callbacks.sample_grid')
    """
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def command_line(verb: str, overrides: Sequence[str]) -> str:
    """A command for a shell, with quotes where it needs them.

    >>> print(command_line("compare", ["models={a: x}", "metric=['fid','kid']"]))
    zoo compare 'models={a: x}' metric=[fid,kid]
    """
    plain = [_PLAIN_QUOTES.sub(r"\1", override) for override in overrides]
    words = [o if re.fullmatch(r"[\w@%+=:,./~\[\]-]+", o) else shlex.quote(o) for o in plain]
    return " ".join(["zoo", verb, *words])


def bracketed(arguments: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The arguments with bare comma lists of these keys as lists, unless hydra sweeps over them.

    Texts that hydra's grammar could not read, such as paths with ``=``, are quoted.

    >>> bracketed(["models=runs/a=1,b", "models={a: b}", "seed=1"], ["models"])
    ["models=['runs/a=1',b]", 'models={a: b}', 'seed=1']
    """
    if {"-m", "--multirun"} & set(arguments):  # hydra then has a run for each
        return list(arguments)
    lists = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in keys and value not in ("", "null") and value[0] not in "{$":
            inner = value[1:-1] if value[0] == "[" and value[-1] == "]" else value
            argument = f"{key}=[{','.join(readable(part) for part in split_list(inner))}]"
        lists.append(argument)
    return lists


def readable(text: str) -> str:
    """A plain text as hydra's grammar reads it: quoted where it must be."""
    text = text.strip()
    own = text[:1] in ("[", "{", "'", '"') or "${" in text
    return text if own or re.fullmatch(r"(?a)[\w/+.$%*@?|: -]*", text) else quoted(text)


def split_list(text: str) -> list[str]:
    """The parts of a comma list; commas within brackets, braces and quotes do not part it.

    >>> split_list("a,[1,2],'x,y'")
    ['a', '[1,2]', "'x,y'"]
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += letter
    return parts


def split_config_folders(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The config folders that a command line names, and its other arguments.

    >>> split_config_folders(["samplers", "--config-dir", "mine"])
    ([PosixPath('mine')], ['samplers'])
    >>> split_config_folders(["hydra.searchpath=[file:///a,b]", "seed=1"])
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
            folders += [folder for place in places if (folder := _folder(place.strip(" '\"")))]
        else:
            rest.append(argument)
    return folders, rest


def make_current_folder_importable() -> None:
    """Puts the current folder on the path, as ``python -m`` does.

    It comes last, so that a user's ``random.py`` does not replace Python's.
    """
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def check_queue(launcher: str, multirun: bool) -> None:
    """Refuses a launcher of submitit that is not installed, or has no sweep to launch.

    Args:
        launcher: hydra's, by its name in the group ``hydra/launcher``; others pass.
        multirun: whether there is a sweep.

    Raises:
        ValueError: see above.
    """
    if launcher not in ("slurm", "local"):
        return
    if find_spec("hydra_plugins") is None or find_spec(_SUBMITIT) is None:
        raise ValueError(f"hydra/launcher={launcher}: pip install 'diffusion-zoo[slurm]' brings it")
    if not multirun:
        raise ValueError(f"hydra/launcher={launcher} is for the runs of a sweep: add -m")


def _folder(place: str) -> Path | None:
    """The folder of ``file:///path``, ``pkg://package.folder`` or a plain path."""
    if not place.startswith("pkg://"):
        return Path(re.sub("^file://", "", place)) if place else None
    try:
        package = find_spec(place.removeprefix("pkg://"))
    except ImportError:
        return None
    locations = list(package.submodule_search_locations or []) if package is not None else []
    return Path(locations[0]) if locations else None
