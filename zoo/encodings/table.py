"""Rows of one shape in a file, read through a memory map."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from zoo.system.progress import Meter

_ITEMS_PER_BLOCK = 256
_THREADS = min(4, os.cpu_count() or 1)  # hashing frees the interpreter's lock
_PIECE = 1024  # rows at a time where all are read


class Table:
    """Rows (R, ...) of a ``.npy`` file, of which any can be read without reading the others.

    Args:
        rows: the file's array, memory-mapped.
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    @classmethod
    def open(cls, path: Path) -> Self:
        """Maps a file. Pages that are written to are private, so nothing changes the file."""
        return cls(torch.from_numpy(np.load(path, mmap_mode="c")))

    def __len__(self) -> int:
        return len(self.rows)

    def __deepcopy__(self, memo: dict[int, Any]) -> Table:
        return self  # a copy of a model reads the same file

    @property
    def num_bytes(self) -> int:
        """Size of all rows."""
        return self.rows.numel() * self.rows.element_size()

    def gather(self, indices: Tensor) -> Tensor:
        """Rows ``indices`` (B,) int64, in that order: (B, ...) float32.

        The file is read in its own order, so that a disk is read forwards.
        """
        order = indices.argsort()
        picked = self.rows.index_select(0, indices[order])
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        return picked.index_select(0, place).float()

    def pieces(self) -> Iterator[Tensor]:
        """All rows in order, some at a time."""
        yield from self.rows.split(_PIECE)


def blocks(num_items: int) -> list[range]:
    """The items in order, in parts of nearly equal size: each is encoded, hashed and kept at once.

    >>> blocks(300)
    [range(0, 150), range(150, 300)]
    """
    return parts(range(num_items), _ITEMS_PER_BLOCK)


def parts(items: range, most: int) -> list[range]:
    """A range in consecutive parts of nearly equal size, none larger than ``most``."""
    count = -(-len(items) // most)
    edges = [items.start + len(items) * i // count for i in range(count + 1)] if count else [0]
    return [range(a, b) for a, b in pairwise(edges)]


def header(shape: Sequence[int], dtype: str) -> bytes:
    """What a ``.npy`` file of this shape begins with."""
    file = io.BytesIO()
    descr = np.dtype(dtype).newbyteorder("<").str
    facts = {"shape": tuple(shape), "fortran_order": False, "descr": descr}
    np.lib.format.write_array_header_1_0(file, facts)
    return file.getvalue()


def first_difference(
    path: Path, beginning: bytes, sizes: Sequence[int], digests: Sequence[str], what: str
) -> int | None:
    """The first block of a file whose content is not the expected one; None where all are.

    Args:
        path: the file.
        beginning: what it has before the first block; where that differs, no block is right.
        sizes: bytes of each block.
        digests: sha256 of each.
        what: the activity, for the progress.
    """
    with path.open("rb") as file:
        if file.read(len(beginning)) != beginning:
            return 0
    starts = [len(beginning)]
    for size in sizes:
        starts.append(starts[-1] + size)

    def same(block: int) -> bool:
        with path.open("rb") as file:
            file.seek(starts[block])
            content = file.read(sizes[block])
        return hashlib.sha256(content).hexdigest() == digests[block]

    with ThreadPoolExecutor(_THREADS) as pool, Meter(len(digests), what, "blocks") as meter:
        for block, whole in enumerate(pool.map(same, range(len(digests)))):
            if not whole:
                pool.shutdown(wait=False, cancel_futures=True)
                return block
            meter.advance()
    return None
