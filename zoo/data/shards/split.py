"""The samples of one split of a set in shards, and the held-out part by a hash of their places."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.shards.source import Read, Shards

_HELD = 64  # shards whose samples are known at a time


class HeldOut(NamedTuple):
    """A part of a set that is held out, or the rest of it.

    Whether a sample is, depends on the seed, its shard's name and its number in it alone, so that
    new shards change nothing about old ones.

    Attributes:
        fraction: held out, about.
        seed: of the hash.
        test: the held-out part, not the rest.
    """

    fraction: float
    seed: int
    test: bool

    def mask(self, name: str, count: int) -> np.ndarray:
        """Which samples of a shard are in this part, (count,) bool."""
        key = hashlib.blake2s(f"{self.seed}/{name}".encode(), digest_size=8).digest()
        base = np.uint64(int.from_bytes(key, "little"))
        with np.errstate(over="ignore"):  # splitmix64
            x = base + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            x ^= x >> np.uint64(31)
        chosen: np.ndarray = (x >> np.uint64(11)) * 2.0**-53 < self.fraction
        return chosen if self.test else ~chosen


class Split:
    """Samples of shards, numbered from 0 in the order of the shards.

    Args:
        shards: all of them.
        part: a held-out part or the rest; None for all samples.

    Attributes:
        block_counts: samples of each block, (M,) int64, in order.
        num_without_image: samples that were left out because they have none.
    """

    def __init__(self, shards: Shards, part: HeldOut | None = None) -> None:
        self.shards, self.part = shards, part
        self.ordinals = lru_cache(_HELD)(self._ordinals)
        blocks, counts, self.num_without_image = [], [], 0
        for shard in range(len(shards.files)):
            ordinals = self._ordinals(shard)
            blocks.append(np.diff(np.searchsorted(ordinals, shards.edges(shard))))
            counts.append(len(ordinals))
            whole = shards.whole(shard)
            self.num_without_image += (
                0 if whole is None else int((~whole & self._mask(shard)).sum())
            )
        self.block_counts = np.concatenate(blocks).astype(np.int64)
        self.block_starts = np.concatenate([[0], np.cumsum(self.block_counts)])
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _mask(self, shard: int) -> np.ndarray:
        count = int(self.shards.counts[shard])
        if self.part is None:
            return np.ones(count, bool)
        return self.part.mask(self.shards.files[shard].name, count)

    def _ordinals(self, shard: int) -> np.ndarray:
        """The split's samples of a shard, by their places in it, ascending."""
        mask, whole = self._mask(shard), self.shards.whole(shard)
        return np.flatnonzero(mask if whole is None else mask & whole)

    def located(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The shards of samples, and their places in these."""
        shards = np.searchsorted(self._starts, indices, side="right") - 1
        ordinals = np.empty_like(indices)
        for shard in np.unique(shards).tolist():
            own = shards == shard
            ordinals[own] = self.ordinals(shard)[indices[own] - self._starts[shard]]
        return shards, ordinals

    def reads(self, indices: np.ndarray, images: bool = True) -> list[tuple[np.ndarray, Read]]:
        """The pieces that some samples are read in, each with the samples that it gives."""
        indices = np.unique(indices)
        shards = np.searchsorted(self._starts, indices, side="right") - 1
        pieces = []
        for shard in np.unique(shards).tolist():
            start, ordinals = self._starts[shard], self.ordinals(shard)
            own = ordinals[indices[shards == shard] - start]
            for read in self.shards.reads(shard, own, images):
                pieces.append((start + np.searchsorted(ordinals, read.ordinals), read))
        return pieces

    def where(self, index: int) -> str:
        """Names a sample for a user."""
        shards, ordinals = self.located(np.array([index]))
        return self.shards.where(int(shards[0]), int(ordinals[0]))

    def label_values(self) -> list[int] | list[str] | None:
        """Each sample's label, an integer or a word, or None where none are read."""
        values = self.shards.label_values
        return None if values is None else [values[number] for number in self._numbers().tolist()]

    def labels(self, class_names: Sequence[str]) -> Tensor | None:
        """Each sample's class, (N,) int64, or None where no labels are read."""
        values = self.shards.label_values
        if values is None:
            return None
        classes = {name: number for number, name in enumerate(class_names)}
        table = [classes[v] if isinstance(v, str) else int(v) for v in values]
        return torch.tensor(table, dtype=torch.int64)[torch.from_numpy(self._numbers())]

    def _numbers(self) -> np.ndarray:
        parts = [self.shards.label_numbers(shard, self._ordinals(shard))
                 for shard in range(len(self.shards.files))]  # fmt: skip
        return np.concatenate(parts).astype(np.int64)

    def missing_image(self) -> str | None:
        """The first sample without an image, named for a user; None where all have one."""
        for shard in range(len(self.shards.files)) if self.num_without_image else ():
            whole = self.shards.whole(shard)
            absent = np.zeros(0) if whole is None else np.flatnonzero(~whole & self._mask(shard))
            if len(absent):
                return self.shards.where(shard, int(absent[0]))
        return None
