"""The files of a folder or a zip: one listing for data sets, stored images and references."""

from __future__ import annotations

import os
import stat
import sys
import threading
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from lightning.pytorch.utilities import rank_zero_only

from zoo.data.source.litter import is_litter, is_litter_file, is_litter_folder

SUFFIXES = {
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp",
}  # fmt: skip
"""A file is an image if its name ends in one of these, in small or capital letters."""
METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
"""Names of the files that say which images count, in small or capital letters."""

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,  # encrypted
    NotImplementedError,  # compressed in a way that Python does not know
    EOFError,
    OSError,
)


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


def is_place(path: Path) -> bool:
    """Whether there is a folder or a zip at this path."""
    return path.is_dir() or (path.suffix.lower() == ".zip" and path.is_file())


def open_files(path: Path) -> Files:
    """Lists a folder, through links, or a zip; says once how many files are litter.

    In a zip a name that was written twice counts once, with its last content, as in unpacking.

    Raises:
        ValueError: a folder or a zip cannot be read, a link leads nowhere, or a zip's member is
            encrypted, a link, or outside the zip.
    """
    return _folder(path) if path.is_dir() else _zip(path)


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


def _in_order(names: list[str]) -> list[str]:
    """Sorted folder by folder, whether a disk or a zip listed them."""
    return sorted(names, key=lambda name: (composed(name).replace("/", "\0"), name))


@dataclass
class _Listing:
    """What a place holds, while it is listed."""

    names: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)
    cycles: list[str] = field(default_factory=list)

    def files(
        self,
        path: Path,
        read: Callable[[str], bytes],
        where: Callable[[str], str],
        folder: Path | None = None,
    ) -> Files:
        """The listed files; says once what does not count."""
        files = Files(str(path), _in_order(self.names), read, where, folder)
        others = [name for name in files.names if name.rpartition("/")[2].lower() not in METADATA]
        void = [name for name in self.directories if name not in files.tree]
        parts = [
            _counted(self.litter, "hidden or system files"),
            _counted(self.cycles, "links to a folder above themselves"),
            f"files that are no images: {ends}" if (ends := suffixes(others)) else "",
            _counted(void, "folders without images"),
        ]
        if any(parts):
            say_once(f"{path}: left out {'; '.join(filter(None, parts))}")
        return files


def _counted(names: list[str], what: str) -> str:
    return f"{len(names)} {what} ({some(names)})" if names else ""


def _folder(root: Path) -> Files:
    listing = _Listing()
    _walk(root, "", frozenset(), listing)
    return listing.files(
        root, lambda name: (root / name).read_bytes(), lambda name: str(root / name), root
    )


def _walk(folder: Path, start: str, above: frozenset[tuple[int, int]], listing: _Listing) -> None:
    """Adds the files below ``folder``, whose names begin with ``start``; ``above`` are inodes."""
    try:
        status = os.stat(folder)
        identity = status.st_dev, status.st_ino
        if identity in above:
            listing.cycles.append(listing.directories.pop())
            return
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"folder {folder} cannot be read: {error.strerror}") from error
    for entry in ordered:
        name, link = start + entry.name, entry.is_symlink()
        if os.path.isdir(entry.path) if link else entry.is_dir():
            if is_litter_folder(entry.name):
                listing.litter += _files_below(entry.path, name)
            else:
                listing.directories.append(name)
                _walk(folder / entry.name, f"{name}/", above | {identity}, listing)
        elif is_litter_file(entry.name):
            listing.litter.append(name)
        elif os.path.isfile(entry.path) if link else entry.is_file():
            listing.names.append(name)
        elif link:
            raise ValueError(
                f"{entry.path} is a link to {os.readlink(entry.path)}, which does not exist; "
                "remove the link, or restore what it leads to"
            )


def _files_below(folder: str, name: str) -> list[str]:
    """The files of a folder that is litter, links not followed."""
    return [
        f"{name}{inside[len(folder) :]}/{file}"
        for inside, _, files in os.walk(folder)
        for file in sorted(files)
    ]


def _zip(path: Path) -> Files:
    try:
        archive = zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise ValueError(f"{path}: not a readable zip ({error})") from error
    members: dict[str, zipfile.ZipInfo] = {}
    listing = _Listing()
    for info in archive.infolist():
        name = _member(info, path)
        if is_litter(name.rstrip("/")):
            listing.litter += [] if name.endswith("/") else [name]
            continue
        if name.endswith("/"):
            listing.directories.append(name.rstrip("/"))
            continue
        if info.flag_bits & 1:
            raise ValueError(f"{path}: {name} is encrypted; make the zip without a password")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ValueError(f"{path}: {name} is a link; zip what it leads to in its place")
        members[name] = info
    listing.names += members
    lock = threading.Lock()  # one file position for all threads

    def read(name: str) -> bytes:
        try:
            with lock:
                return archive.read(members[name])
        except _UNREADABLE as error:
            raise ValueError(str(error)) from error

    return listing.files(path, read, lambda name: f"{path}: {name}")


def _member(info: zipfile.ZipInfo, path: Path) -> str:
    """A member's name with slashes, as macOS and Windows meant it; folders end in a slash."""
    name = info.filename
    if not info.flag_bits & 0x800:  # not said to be UTF-8, which macOS writes nevertheless
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    slashed = name.replace("\\", "/")
    if slashed.startswith("/") or PureWindowsPath(name).drive or ".." in slashed.split("/"):
        raise ValueError(f"{path}: member {name!r} lies outside the zip; make the zip again")
    return str(PurePosixPath(slashed)) + ("/" if slashed.endswith("/") else "")
