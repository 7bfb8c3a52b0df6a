"""The entries of the cache: how many, how large, how old, and their removal."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_KEY = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"\.(.+)\.\d+\.part")
_DAY = 86_400.0
_LAST_WRITTEN = ("result.json", "complete.json")


@dataclass(frozen=True)
class Kind:
    """A kind of entry.

    Attributes:
        name: as tables call it.
        folder: of its entries, below that of evaluations; "" for that folder itself.
        files: what the cache writes into an entry's folder; None where an entry is one file.
        about: what it is, in a line.
        suffix: of an entry that is one file.
    """

    name: str
    folder: str
    files: re.Pattern[str] | None
    about: str
    suffix: str = ".json"


_ENCODINGS = re.compile(r"(train|test|captions)\.(npy|blocks)|complete\.json")
KINDS = (
    Kind("evaluations", "", re.compile(r"(result|facts)\.json|images\.npz"), "results"),
    Kind("baselines", "real", None, "numbers of held-out images"),
    Kind("features", "features", re.compile(r"\w+\.np[yz]"), "features of references"),
    Kind("images", "images", re.compile(r"\d+(-\d+)?\.npz"), "images of unfinished evaluations"),
    Kind("decoded", "../decoded", None, "decoded images of data sets", ".npy"),
    Kind("shards", "../shards", None, "indexes of tar and parquet shards", ".npz"),
    Kind("latents", "../latents", _ENCODINGS, "encoded images of data sets"),
    Kind("captions", "../captions", _ENCODINGS, "embeddings of captions"),
)


@dataclass(frozen=True)
class Entry:
    """What is kept under one key.

    Attributes:
        kind: what it is.
        files: those that the cache wrote, and nothing else that may lie beside them.
        size: of the files, in bytes.
        time: of the last change, in seconds since 1970.
    """

    kind: Kind
    files: tuple[Path, ...]
    size: int
    time: float


def entries(folder: Path) -> list[Entry]:
    """Every entry, the oldest first. Links and files of others are left out.

    Args:
        folder: of evaluations, as ``zoo.paths`` names it.
    """
    places = ((Path(os.path.normpath(folder / kind.folder)), kind) for kind in KINDS)
    every = (entry for place, kind in places for entry in _of_kind(place, kind))
    return sorted(every, key=lambda entry: entry.time)


def chosen(
    kept: Sequence[Entry], max_age: float | None, max_size: int | None, now: float | None = None
) -> list[Entry]:
    """The entries that are too old, then the oldest until the others are small enough.

    Args:
        kept: the oldest first.
        max_age: in seconds; None for any.
        max_size: of all that stays, in bytes; None for any.
        now: the time, in seconds since 1970.
    """
    now = time.time() if now is None else now
    left = sum(entry.size for entry in kept)
    removed = []
    for entry in kept:
        old = max_age is not None and now - entry.time > max_age
        if old or (max_size is not None and left > max_size):
            removed.append(entry)
            left -= entry.size
    return removed


def remove(entry: Entry) -> None:
    """Removes an entry's files, and its folder where nothing else lies in it.

    A process that reads them goes on: an open file stays until it is closed, and one that is gone
    is measured again. What tells that an entry is complete goes first.
    """
    for file in sorted(entry.files, key=lambda file: file.name not in _LAST_WRITTEN):
        file.unlink(missing_ok=True)
    if entry.kind.files is not None:
        with suppress(OSError):  # not empty, or another process removed it
            entry.files[0].parent.rmdir()


def _of_kind(folder: Path, kind: Kind) -> Iterator[Entry]:
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in _within(folder):
        if path.is_symlink():
            continue
        if kind.files is None:
            if _KEY.fullmatch(path.stem) and path.suffix == kind.suffix:
                yield from _entry(kind, [path])
        elif _KEY.fullmatch(path.name) and path.is_dir():
            yield from _entry(kind, [file for file in _within(path) if _ours(file, kind.files)])


def _within(folder: Path) -> list[Path]:
    """The contents of a folder; of one that another process just removed, none."""
    with suppress(FileNotFoundError):
        return list(folder.iterdir())
    return []


def _ours(file: Path, pattern: re.Pattern[str]) -> bool:
    """Whether the cache wrote it; a part of a file counts a day after its writer gave it up."""
    if (part := _PART.fullmatch(file.name)) is None:
        return pattern.fullmatch(file.name) is not None
    with suppress(FileNotFoundError):
        old = time.time() - file.stat().st_mtime > _DAY
        return old and pattern.fullmatch(part.group(1)) is not None
    return False


def _entry(kind: Kind, files: list[Path]) -> Iterator[Entry]:
    """The entry of these files, if there are any; one that was just removed counts as none."""
    sizes, times, present = 0, [], []
    for file in files:
        with suppress(FileNotFoundError):
            state = file.lstat()
            if file.is_file() and not file.is_symlink():
                sizes += state.st_size
                times.append(state.st_mtime)
                present.append(file)
    if present:
        yield Entry(kind, tuple(present), sizes, max(times))
