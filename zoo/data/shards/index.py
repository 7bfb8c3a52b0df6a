"""What is known of a shard before its images are read, kept between runs."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo import paths
from zoo.data.shards.store import ShardFile
from zoo.system.files import write_atomically
from zoo.system.progress import Meter

VERSION = 1
"""Of the layout: another one is another key."""
FOLDER = "shards"
"""Of the cache, in which each shard's index is one file."""
_THREADS = {True: 4, False: 16}  # local or not
_SHAPES = (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, TypeError)


@dataclass(frozen=True)
class Index:
    """A shard's table of contents.

    Attributes:
        count: samples in it, whole or not.
        arrays: a row for each sample, or for each piece of the shard.
        facts: plain values: ``digest`` of its structure, ``labels`` (the different ones), and more.
    """

    count: int
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


Scan = Callable[[ShardFile], Index]


def index_key(file: ShardFile, what: Sequence[object]) -> str:
    """The key of a shard's index: the file by place, size and version, and what is indexed."""
    facts = [VERSION, file.path, file.size, file.version, *what]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()


class Indexes:
    """The indexes of some shards, made where they are missing.

    They stay on the disk, of which those used last are held; where the cache cannot be written, in
    memory.

    Args:
        files: the shards.
        scan: makes a shard's index.
        what: is indexed, for the cache's keys.
        first: the shard to begin with, so that processes that start together share the work.
    """

    def __init__(
        self, files: Sequence[ShardFile], scan: Scan, what: Sequence[object], first: int = 0
    ) -> None:
        self._files, self._scan = files, scan
        self._paths = [paths.cache() / FOLDER / f"{index_key(f, what)}.npz" for f in files]
        self._unwritten: dict[int, Index] = {}
        order = [(first + i) % len(files) for i in range(len(files))] if files else []
        missing = [number for number in order if not self._paths[number].is_file()]
        if missing:
            with (
                ThreadPoolExecutor(_THREADS[files[0].local]) as pool,
                Meter(len(missing), "indexing", "shards") as meter,
            ):
                try:
                    for _ in pool.map(self._make, missing):
                        meter.advance()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

    def __getitem__(self, number: int) -> Index:
        if number in self._unwritten:
            return self._unwritten[number]
        index = _load(self._paths[number])
        return self._make(number, again=True) if index is None else index

    def _make(self, number: int, again: bool = False) -> Index:
        if not again and (index := _load(self._paths[number])) is not None:
            return index  # another process was faster
        index = self._scan(self._files[number])
        content = io.BytesIO()
        facts = np.frombuffer(json.dumps([index.count, index.facts]).encode(), np.uint8)
        arrays: dict[str, Any] = {"facts": facts, **index.arrays}
        np.savez(content, **arrays)
        try:
            write_atomically(self._paths[number], content.getvalue())
        except OSError:  # a disk that is full costs the cache, not the run
            self._unwritten[number] = index
        return index


def _load(path: Path) -> Index | None:
    """The index in a file, or None where there is none or it is damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
        count, facts = json.loads(held.pop("facts").tobytes())
        return Index(count, held, facts)
    except _SHAPES:
        return None
