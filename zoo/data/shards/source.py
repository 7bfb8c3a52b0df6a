"""The samples of all shards of a set, in order, and which of them a split has."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from zoo.data.shards.index import Indexes, Scan
from zoo.data.shards.store import ShardFile, shard_files
from zoo.data.source.values import labels

_HELD = 64  # indexes in memory at a time


class Sample(NamedTuple):
    """What was read of one sample.

    Attributes:
        image: encoded bytes, or whatever its cell holds.
        caption: a text, a file with one, or several; None where none are read.
    """

    image: Any
    caption: Any = None

    @property
    def size(self) -> int:
        """In bytes, about."""
        return sum(len(part) for part in self if isinstance(part, bytes | str))


@dataclass(frozen=True)
class Read:
    """A piece of a shard that is read at once.

    Attributes:
        shard: its number.
        ordinals: the samples that are wanted of it, by their places in the shard, ascending.
        size: in bytes.
        samples: reads them, in the order of ``ordinals``.
    """

    shard: int
    ordinals: np.ndarray
    size: int
    samples: Callable[[], list[Sample]]


class Shards(ABC):
    """The shards of a set, of which an index says what is where.

    Args:
        patterns: paths, addresses or patterns; see ``shard_files``.
        image: the images' column.
        label: the labels' column, or None.
        caption: the captions' column, or None.
        first: this process's share of the processes, in [0, 1): where it begins to index.

    Raises:
        ValueError: a shard is missing or broken, a column is unknown, or a label or caption is
            missing or wrong; it is named.
    """

    what: ClassVar[str] = "shard"

    def __init__(
        self,
        patterns: str | Sequence[str],
        image: str,
        label: str | None = None,
        caption: str | None = None,
        first: float = 0.0,
    ) -> None:
        self.image, self.label, self.caption = image, label, caption
        self.files: list[ShardFile] = shard_files(patterns, self.what)
        what = (type(self).__name__, image, label, caption)
        self._indexes = Indexes(self.files, self.scan(), what, int(first * len(self.files)))
        self.index = lru_cache(_HELD)(self._indexes.__getitem__)
        self._read_labels()
        self.check()

    @abstractmethod
    def scan(self) -> Scan:
        """What makes the index of a shard."""

    @abstractmethod
    def check(self) -> None:
        """Raises ValueError where the columns are in no shard."""

    @abstractmethod
    def edges(self, shard: int) -> np.ndarray:
        """The first sample of each block of a shard, and the count behind the last: ascending."""

    @abstractmethod
    def whole(self, shard: int) -> np.ndarray | None:
        """Which samples of a shard have an image, (n,) bool; None for all."""

    @abstractmethod
    def reads(self, shard: int, ordinals: np.ndarray, images: bool = True) -> list[Read]:
        """The pieces that these samples of a shard (ascending) are read in; or captions alone."""

    @abstractmethod
    def where(self, shard: int, ordinal: int) -> str:
        """Names a sample for a user: the shard, and the file or row in it."""

    @property
    def digest(self) -> str:
        """sha256 of the shards' names and structures, in order; no image is decoded for it."""
        facts = [[file.name, file.size, self.counts[number], self._digests[number]]
                 for number, file in enumerate(self.files)]  # fmt: skip
        columns = [self.image, self.label, self.caption]
        return hashlib.sha256(json.dumps([facts, columns], default=int).encode()).hexdigest()

    def _read_labels(self) -> None:
        """The counts of all shards, and each label's number, from the indexes."""
        self.counts, self._digests = np.zeros(len(self.files), np.int64), []
        values: dict[tuple[str, str], int] = {}
        plain: list[Any] = []
        places: list[tuple[int, int]] = []
        self._numbers: list[np.ndarray] = []
        for shard in range(len(self.files)):
            index = self._indexes[shard]
            self.counts[shard] = index.count
            self._digests.append(index.facts["digest"])
            numbers = []
            for value, row in zip(index.facts["labels"], index.facts["rows"], strict=True):
                key = (type(value).__name__, repr(value))
                if key not in values:
                    values[key] = len(plain)
                    plain.append(value)
                    places.append((shard, row))
                numbers.append(values[key])
            self._numbers.append(np.array(numbers, np.int64))
        self.label_values: list[Any] | None = None
        if self.label is not None:
            self.label_values = list(labels(plain, lambda i: self.where(*places[i]), self.label))

    def label_numbers(self, shard: int, ordinals: np.ndarray) -> np.ndarray:
        """The places of these samples' labels among ``label_values``."""
        codes = self.index(shard).arrays["label"][ordinals]
        return self._numbers[shard][codes] if len(codes) else codes.astype(np.int64)


def runs(starts: np.ndarray, stops: np.ndarray, gap: int, limit: int) -> list[slice]:
    """Which ranges of bytes, ascending, are read together: close ones, up to a size.

    >>> runs(np.array([0, 10, 90]), np.array([10, 20, 99]), gap=50, limit=100)
    [slice(0, 2, None), slice(2, 3, None)]
    """
    parts, first = [], 0
    for i in range(1, len(starts) + 1):
        end = i == len(starts)
        if end or starts[i] - stops[i - 1] > gap or stops[i] - starts[first] > limit:
            parts.append(slice(first, i))
            first = i
    return parts if len(starts) else []
