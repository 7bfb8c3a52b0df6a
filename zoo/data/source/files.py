"""The files of a place, by name: for data sets, stored images and references alike."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

from lightning.pytorch.utilities import rank_zero_only

SUFFIXES = {
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp",
}  # fmt: skip
"""A file is an image if its name ends in one of these, in small or capital letters."""
METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
"""Names of the files that say which images count, in small or capital letters."""


@dataclass(frozen=True)
class Files:
    """The files below one place, litter left out, in an order that no file system changes.

    Attributes:
        place: the folder or zip, for a user.
        names: paths from there with slashes, sorted folder by folder.
        read: gives the bytes of a name; raises OSError or ValueError.
        where: a name's whole path, for a user.
        folder: the folder; None in a zip.
    """

    place: str
    names: Sequence[str]
    read: Callable[[str], bytes]
    where: Callable[[str], str]
    folder: Path | None = None

    @cached_property
    def images(self) -> list[str]:
        """The names that end as images do."""
        return [name for name in self.names if suffix(name) in SUFFIXES]

    @cached_property
    def folders(self) -> list[str]:
        """The folders that hold images themselves, "" for the top."""
        return list(dict.fromkeys(name.rpartition("/")[0] for name in self.images))

    @cached_property
    def tree(self) -> dict[str, list[str]]:
        """The names of the folders in each folder, where there are images at any depth."""
        tree: dict[str, list[str]] = {"": []}
        for folder in self.folders:
            parts = folder.split("/") if folder else []
            for depth, name in enumerate(parts):
                above, inside = "/".join(parts[:depth]), "/".join(parts[: depth + 1])
                if inside not in tree:
                    tree[inside] = []
                    tree[above].append(name)
        return tree

    def below(self, folder: str) -> Files:
        """The files in one of the folders."""
        start = f"{folder}/"
        return Files(
            self.where(folder),
            [name[len(start) :] for name in self.names if name.startswith(start)],
            lambda name: self.read(start + name),
            lambda name: self.where(start + name),
            None if self.folder is None else self.folder / folder,
        )

    def find(self, listed: str) -> str | None:
        """The name that a metadata file means: accents spelled either way, slashes or back-slashes.

        A folder's metadata may name a file outside it, by an absolute path or through "..".
        """
        for spelling in (listed, listed.replace("\\", "/")):
            name = self._names.get(composed(str(PurePosixPath(spelling))))
            if name is not None:
                return name
            outside = spelling.startswith("/") or ".." in spelling.split("/")
            if outside and self.folder is not None and (self.folder / spelling).is_file():
                return spelling
        return None

    @cached_property
    def _names(self) -> dict[str, str]:
        return {composed(name): name for name in self.names}


def suffix(name: str) -> str:
    """The ending of a name from its last dot, in small letters: ".png"."""
    return os.path.splitext(name)[1].lower()


@lru_cache(maxsize=1024)
@rank_zero_only
def say_once(text: str) -> None:
    """One line on stderr, of the first process, and only the first time."""
    print(text, file=sys.stderr)


def some(names: Sequence[str]) -> str:
    """The first names of a list, for a message."""
    return ", ".join([*names[:3], *(["..."] if len(names) > 3 else [])])


def suffixes(names: Sequence[str]) -> str:
    """How many of these are no images, by suffix: "3 .txt, 1 without suffix"."""
    counts = Counter(suffix(name) or "without suffix" for name in names)
    return ", ".join(f"{n} {end}" for end, n in sorted(counts.items()) if end not in SUFFIXES)


def composed(name: str) -> str:
    """One spelling of accents: file systems and zips keep either (NFC, NFD)."""
    return unicodedata.normalize("NFC", name)
