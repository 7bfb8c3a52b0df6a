"""What a folder or a zip holds: links followed, what systems leave there left out."""

from __future__ import annotations

import os
import re
import stat
import threading
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from zoo.data.source.files import METADATA, Files, composed, say_once, some, suffixes
from zoo.paths import SAMPLES

_FOLDERS = {
    "__macosx", "network trash folder", "temporary items",  # macOS
    "$recycle.bin", "recycler", "system volume information", "found.000",  # Windows
    "@eadir", "@tmp", "@sharebin", "@database", "#recycle", "#snapshot",  # Synology
    "@__thumb", "@recycle", "@recently-snapshot",  # QNAP
    "lost+found", "__pycache__", "_gsdata_",
}  # fmt: skip
_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
_PREFIXES = (".", "~$", "synophoto_thumb", "synofile_thumb")
_DRIVE = re.compile("[A-Za-z]:/")
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,  # encrypted
    NotImplementedError,  # compressed in a way that Python does not know
    EOFError,
    OSError,
)


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


def is_litter_folder(name: str) -> bool:
    """Whether a folder of this name is hidden, or a system's own (thumbnails, waste bins).

    >>> [is_litter_folder(name) for name in (".ipynb_checkpoints", "@eaDir", "thumbnails")]
    [True, True, False]
    """
    return name.startswith(".") or name.casefold() in _FOLDERS


def is_litter_file(name: str) -> bool:
    """Whether a file of this name is hidden, or a system's own.

    >>> [is_litter_file(name) for name in ("._0.png", "Thumbs.db", "0.png")]
    [True, True, False]
    """
    name = name.casefold()
    return name in _FILES or name.startswith(_PREFIXES)


def is_litter(path: str) -> bool:
    """Whether a file, by its path from the top with slashes, is litter or lies in some."""
    *folders, name = path.split("/")
    return is_litter_file(name) or any(map(is_litter_folder, folders))


def _in_order(names: list[str]) -> list[str]:
    """Sorted folder by folder, whether a disk or a zip listed them."""
    return sorted(names, key=lambda name: (composed(name).replace("/", "\0"), name))


@dataclass
class _Listing:
    """What a place holds, while it is listed."""

    root: Path
    names: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)
    cycles: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    visited: set[tuple[int, int]] = field(default_factory=set)

    def again(self, folder: str, identity: tuple[int, int]) -> None:
        """Notes a folder that was listed before under another name, but none below such a one."""
        if identity in self.visited and not (
            self.twice and folder.startswith(f"{self.twice[-1]}/")
        ):
            self.twice.append(folder)
        self.visited.add(identity)

    def files(
        self,
        read: Callable[[str], bytes],
        where: Callable[[str], str],
        folder: Path | None = None,
    ) -> Files:
        """The listed files; says once what does not count."""
        files = Files(str(self.root), _in_order(self.names), read, where, folder)
        beside = (*METADATA, SAMPLES)
        others = [name for name in files.names if name.rpartition("/")[2].lower() not in beside]
        folders = dict.fromkeys([*self.directories, *(n.rpartition("/")[0] for n in files.names)])
        void = [folder for folder in folders if folder not in files.tree]
        void = [folder for folder in void if folder.rpartition("/")[0] in files.tree]
        parts = [
            _counted(self.litter, "hidden or system files"),
            _counted(self.cycles, "links to a folder above themselves"),
            f"files that are no images: {ends}" if (ends := suffixes(others)) else "",
            _counted(sorted(void), "folders without images"),
        ]
        if any(parts):
            say_once(f"{self.root}: left out {'; '.join(filter(None, parts))}")
        if self.twice:
            what = "folders that were listed before, through links: their images count again"
            say_once(f"{self.root}: {_counted(self.twice, what)}")
        return files


def _counted(names: list[str], what: str) -> str:
    return f"{len(names)} {what} ({some(names)})" if names else ""


def _folder(root: Path) -> Files:
    listing = _Listing(root)
    _walk(root, "", frozenset(), listing)
    return listing.files(
        lambda name: (root / name).read_bytes(), lambda name: str(root / name), root
    )


def _walk(folder: Path, start: str, above: frozenset[tuple[int, int]], listing: _Listing) -> None:
    """Adds the files below ``folder``, whose names begin with ``start``; ``above`` are inodes."""
    try:
        status = os.stat(folder)
        identity = status.st_dev, status.st_ino
        if identity in above:
            listing.cycles.append(listing.directories.pop())
            return
        listing.again(start.rstrip("/"), identity)
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
    listing = _Listing(path)
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

    return listing.files(read, lambda name: f"{path}: {name}")


def _member(info: zipfile.ZipInfo, path: Path) -> str:
    """A member's name with slashes, as macOS and Windows meant it; folders end in a slash."""
    name = info.filename
    if not info.flag_bits & 0x800:  # not said to be UTF-8, which macOS writes nevertheless
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    slashed = name.replace("\\", "/")
    if slashed.startswith("/") or _DRIVE.match(slashed) or ".." in slashed.split("/"):
        raise ValueError(f"{path}: member {name!r} lies outside the zip; make the zip again")
    return str(PurePosixPath(slashed)) + ("/" if slashed.endswith("/") else "")
