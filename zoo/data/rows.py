"""Encoded images with their labels and captions, from any file or service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Images that are still encoded.

    Attributes:
        read: gives row i's encoded bytes; may raise where the image is missing.
        where: names row i for a user: its file, or its table and row.
        labels: one integer or word per row, or None.
        captions: one sentence per row, or several, or None.
    """

    count: int
    read: Callable[[int], bytes]
    where: Callable[[int], str]
    labels: Sequence[Any] | None = None
    captions: Sequence[str | tuple[str, ...]] | None = None

    def __len__(self) -> int:
        return self.count

    def select(self, indices: Sequence[int]) -> Rows:
        """These rows, in this order."""
        picked = [int(index) for index in indices]
        return replace(
            self,
            count=len(picked),
            read=lambda i: self.read(picked[i]),
            where=lambda i: self.where(picked[i]),
            labels=None if self.labels is None else [self.labels[i] for i in picked],
            captions=None if self.captions is None else [self.captions[i] for i in picked],
        )


def split(rows: Rows, test_fraction: float, seed: int) -> tuple[Rows, Rows]:
    """A train and a test split that depend on the rows' number and labels and the seed alone.

    Every class gives its share to both where each has at least two rows.

    Raises:
        ValueError: a split would be empty.
    """
    from sklearn.model_selection import train_test_split

    num_test = round(len(rows) * test_fraction)
    if not 0 < num_test < len(rows):
        raise ValueError(
            f"test_fraction={test_fraction} of {len(rows)} images leaves {num_test} to test and "
            f"{len(rows) - num_test} to train; both need at least one"
        )
    strata = None
    if rows.labels is not None:
        classes, counts = np.unique(np.asarray(rows.labels), return_counts=True)
        if counts.min() >= 2 and len(classes) <= min(num_test, len(rows) - num_test):
            strata = rows.labels
    train, test = train_test_split(
        np.arange(len(rows)), test_size=num_test, stratify=strata, random_state=seed
    )
    return rows.select(sorted(train)), rows.select(sorted(test))


def classes(values: Sequence[Any], names: Sequence[str]) -> tuple[str, ...]:
    """One name per class: ``names`` where given, else the words that occur, else the integers.

    Words are sorted, but those of digits alone as numbers, before all others: "9", "10", "a".

    Raises:
        ValueError: a label is missing, or is neither a word nor an integer from 0.
    """
    for value in values:
        good = isinstance(value, str) or (isinstance(value, int | np.integer) and value >= 0)
        if not good or isinstance(value, bool):
            raise ValueError(f"labels are words or integers from 0, got {value!r}")
    words = sorted({value for value in values if isinstance(value, str)}, key=_numbers_first)
    if words and len(words) < len(set(values)):
        raise ValueError(f"labels are all words or all integers, got both, such as {words[0]!r}")
    if words:
        unknown = [word for word in words if names and word not in names]
        if unknown:
            raise ValueError(f"label {unknown[0]!r} is unknown; known are {', '.join(names)}")
        return tuple(names) or tuple(words)
    highest = max(int(value) for value in values)
    if names and highest >= len(names):
        raise ValueError(f"label {highest} has no name: there are {len(names)} class names")
    return tuple(names) or tuple(str(label) for label in range(highest + 1))


def _numbers_first(word: str) -> tuple[bool, int, str]:
    number = word.isascii() and word.isdecimal()
    return not number, int(word) if number else 0, word
