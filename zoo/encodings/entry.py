"""An entry of the cache: opened if it is whole and the right one, else written, by one process."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from zoo.encodings.request import Request
from zoo.encodings.table import Table, first_difference
from zoo.encodings.writing import COMPLETE, beginning, block_sizes, write_entry
from zoo.system.files import size_text
from zoo.system.group import ranks

_SAME = 0.05  # of the largest value: devices and libraries round less, other code gives another


@dataclass(frozen=True)
class Entry:
    """Complete tables of a request.

    Attributes:
        kind: "latents" or "captions".
        key: of the request, 64 hexadecimal digits.
        dtype: "float32" or "float16".
        folder: where they are.
        tables: by name.
        facts: what was measured when they were written.
    """

    kind: str
    key: str
    dtype: str
    folder: Path
    tables: Mapping[str, Table]
    facts: Mapping[str, Any]


def entry(folder: Path, request: Request) -> Entry:
    """The tables in ``folder``, written first where there are none.

    Of several processes one writes; the others wait for it, and so does a second command that needs
    the same. A writer that is killed holds nobody up, and the next one goes on where it was.

    Raises:
        ValueError: the folder has other tables, or damaged ones.
        OSError: they cannot be written, or there is no room for them.
    """
    if (entry := opened(folder, request)) is not None:
        return entry
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _only_writer(folder) as lock:
        if not (folder / COMPLETE).exists():
            check_room(folder, request)
            say(f"{request.kind} of {request.about}: {_counts(request)} are written to {folder}")
            write_entry(folder, request)
        lock.unlink(missing_ok=True)  # whoever still waits for it will see that all is written
    entry = opened(folder, request)
    assert entry is not None
    return entry


def opened(folder: Path, request: Request) -> Entry | None:
    """The tables in ``folder`` if there are any, their blocks compared with their digests.

    Raises:
        ValueError: they are damaged, of another network or data set, or the folder is another's.
    """
    if not (folder / COMPLETE).exists():
        if folder.exists() and (not folder.is_dir() or _strangers(folder, request)):
            raise ValueError(f"{folder} is not a cache of {request.kind}: give another path")
        return None
    content = _complete(folder)
    _check_identity(folder, request, content["identity"])
    if ranks.place().local_rank == 0:
        for name in request.sources:
            _check_table(folder, request, name, content["blocks"][name])
    tables = {name: Table.open(folder / f"{name}.npy") for name in request.sources}
    _check_code(folder, request, tables)
    facts = content["facts"]
    return Entry(request.kind, request.key, request.dtype, folder, tables, facts)


def check_room(folder: Path, request: Request) -> None:
    """Raises OSError where the disk of ``folder`` is too small for what is missing."""
    place = folder
    while not place.exists():
        place = place.parent
    there = sum(file.stat().st_size for file in folder.glob(".*.npy.0.part"))
    free, missing = shutil.disk_usage(place).free, request.num_bytes - there
    if missing > free:
        raise OSError(
            f"{request.kind} of {request.about} need {size_text(request.num_bytes)} ({folder}), "
            f"{size_text(free)} are free: make room, give the path of another disk, or "
            "cache_dtype=float16"
        )


@rank_zero_only
def say(text: str) -> None:
    """A line on stderr, of the first process alone."""
    print(text, file=sys.stderr, flush=True)


def _counts(request: Request) -> str:
    items = " + ".join(f"{source.num_items:,}" for source in request.sources.values())
    flips = max(source.rows_per_item for source in request.sources.values()) > 1
    mirrored = " (to train as they are and mirrored)" if flips else ""
    size = size_text(request.num_bytes)
    return f"{items} {request.unit}{mirrored}, {size} in {request.dtype},"


@contextmanager
def _only_writer(folder: Path) -> Iterator[Path]:
    """Holds a lock that the system gives back when its process ends, however it ends."""
    path = folder.parent / f".{folder.name}.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        say(f"waiting for another process, which writes {folder}")
        lock.acquire()
    try:
        yield path
    finally:
        lock.release()


def _complete(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / COMPLETE).read_text())
        digest = content.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(folder / COMPLETE, folder) from None
    if hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest() != digest:
        raise _damaged(folder / COMPLETE, folder)
    return content


def _check_identity(folder: Path, request: Request, theirs: Mapping[str, Any]) -> None:
    ours = request.identity
    if theirs == ours:
        return
    whose = {"latents": "autoencoder", "captions": "text encoder"}[request.kind]
    differing = next(name for name in ours if theirs.get(name) != ours[name])
    what = {
        "kind": f"it holds {theirs.get('kind')}",
        "encoder": f"it was made by another {whose}",
        "content": "it was made of other images, or of other mirroring"
        if request.kind == "latents"
        else "it was made of other captions",
        "dtype": f"it holds {theirs.get('dtype')}: set cache_dtype={theirs.get('dtype')}",
    }.get(differing, "another version wrote it")
    raise ValueError(
        f"{folder} is no cache of {request.kind} for this training, {what}; give another path, or "
        "auto"
    )


def _check_table(folder: Path, request: Request, name: str, digests: list[str]) -> None:
    path, source = folder / f"{name}.npy", request.sources[name]
    start, sizes = beginning(request, source), block_sizes(request, source)
    what = f"checking {request.kind} of {request.about}"
    try:
        whole = path.stat().st_size == len(start) + sum(sizes) and len(digests) == len(sizes)
        if whole and first_difference(path, start, sizes, digests, what) is None:
            return
    except OSError:
        pass
    raise _damaged(path, folder)


def _check_code(folder: Path, request: Request, tables: Mapping[str, Table]) -> None:
    """Compares one encoding with the same made anew: code has no digest."""
    for name, source in list(request.sources.items())[:1]:
        anew = source.encode(range(1))
        stored = tables[name].rows[: len(anew)].float()
        difference = (anew - stored).abs().amax()
        if not difference <= _SAME * max(1e-6, float(anew.abs().amax())):
            raise ValueError(
                f"{folder} was written by other code: its first encoding is another now "
                f"(difference {float(difference):.2g}); remove it, it is then written again"
            )


def _damaged(path: Path, folder: Path) -> ValueError:
    return ValueError(
        f"{path} is damaged: it is not what was written; remove {folder}, it is then written again"
    )


def _strangers(folder: Path, request: Request) -> list[Path]:
    ours = {f"{name}.npy" for name in request.sources}
    return [file for file in folder.iterdir() if file.name not in ours and file.suffix != ".part"]
