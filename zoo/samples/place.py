"""Where the images of ``zoo sample`` go; names are never taken twice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.paths import SAMPLES

ARRAYS = ".npz"
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""The suffixes of a grid, as ``zoo.system.picture`` writes them."""


@dataclass(frozen=True)
class Place:
    """A grid, an ``.npz`` or a folder, and beside it a sidecar that says how it was made.

    Attributes:
        path: a picture's, an ``.npz``, or a folder's, which has another suffix or none.
        is_folder: whether ``path`` is a folder's.
        columns: of a grid; a square when None.
    """

    path: Path
    is_folder: bool
    columns: int | None = None

    @property
    def sidecar(self) -> Path:
        """``samples.json`` in a folder, else ``NAME.SUFFIX.json`` beside the file."""
        if self.is_folder:
            return self.path / SAMPLES
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def is_free(self) -> bool:
        """Whether writing replaces nothing; an empty folder is free."""
        if self.is_folder and self.path.is_dir():
            return not any(self.path.iterdir())
        return not self.path.exists() and (self.is_folder or not self.sidecar.exists())

    def next_free(self) -> Place:
        """This one, or the first free of ``NAME-2``, ``NAME-3``, ..."""
        place, number = self, 1
        while not place.is_free:
            number += 1
            suffix = "" if self.is_folder else self.path.suffix
            name = f"{self.path.name.removesuffix(suffix)}-{number}{suffix}"
            place = replace(self, path=self.path.with_name(name))
        return place


def place_of(out: str, columns: int | None = None) -> Place:
    """The place that ``out=`` names, checked before anything is drawn.

    Raises:
        ValueError: it is there already, has a suffix that is not written, or lies where nothing can
            be written.
    """
    path = Path(out).expanduser()
    suffix = path.suffix.lower()
    is_folder = out.endswith(("/", os.sep)) or path.is_dir() or not suffix
    if not is_folder and suffix not in (*PICTURES, ARRAYS):
        raise ValueError(
            f"out={out}: files are {', '.join(PICTURES)} (a grid) or {ARRAYS} (arrays); the name "
            "of a folder has no suffix, or ends in /"
        )
    place = Place(path, is_folder, columns)
    if not place.is_free:
        taken = "it" if path.exists() else place.sidecar
        raise ValueError(
            f"out={out}: {taken} is there already, and nothing is overwritten: give another name, "
            "or leave out= away, which takes the next free one"
        )
    _check_parent(path, out)
    return place


def check(config: Mapping[str, Any]) -> None:
    """Raises ValueError where ``out`` of a resolved config names no place that can be written."""
    if config["out"] is not None:
        place_of(str(config["out"]))


def _check_parent(path: Path, out: str) -> None:
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise ValueError(f"out={out}: {parent} is a file, not a folder")
    if not os.access(parent, os.W_OK):
        raise ValueError(f"out={out}: {parent} cannot be written to")
