"""Metrics that need every feature, which are kept in memory-mapped files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.metric.metric import Metric, parts_of
from eval.source.batch import Images

_SPILL = 4096  # rows held in memory before they are written to a file


def mapped(parts: list[Tensor]) -> Tensor:
    """The rows of (B, D) tensors as one memory-mapped float32 tensor (N, D).

    Its bytes are in a temporary file under ``TMPDIR``, which the system may drop from memory and
    read again; the file is removed with the tensor.

    Raises:
        OSError: the disk is full.
    """
    rows, width = sum(map(len, parts)), parts[0].shape[1]
    # written, not mapped: a full disk is an error then, not a crash
    with tempfile.NamedTemporaryFile(prefix="zoo-features-", delete=False) as file:
        try:
            for part in parts:
                file.write(part.detach().cpu().contiguous().float().numpy().tobytes())
            file.flush()
            values = torch.from_file(file.name, shared=False, size=rows * width)
        finally:
            Path(file.name).unlink()  # the mapping keeps the bytes until it goes
    return values.view(rows, width)


class RowsMetric(Metric):
    """A metric over all features of a set; ``of`` computes it.

    Args:
        reference: features (M, D) of the reference, perhaps memory-mapped; subclasses with another
            kind of reference override ``check`` and ``against``.
        extractor: the name of their extractor.
        feature: of the extractor.
    """

    against = "rows"
    own_error = 0.0  # standard error from a metric's own draws, which blocks do not show
    rows: list[Tensor] | Tensor

    reference: Any

    def __init__(self, reference: Any, extractor: str, feature: str | None = None) -> None:
        super().__init__(extractor, feature)
        self.reference = reference
        self.add_state("rows", [], dist_reduce_fx="cat")

    def check(self, values: Tensor) -> None:
        """Refuses features that cannot be compared with the reference, or are not finite."""
        check_pair(values, self.reference, self.name)

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds the features of one batch."""
        values = self.read(features).detach()
        self.check(values)
        parts = parts_of(self.rows)
        small = [part for part in parts if len(part) < _SPILL]
        self.rows = [*parts, values.cpu().float()]
        if sum(map(len, small)) + len(values) >= _SPILL:
            large = [part for part in parts if len(part) >= _SPILL]
            self.rows = [*large, mapped([*small, values])]

    @property
    def features(self) -> Tensor:
        """Every feature so far, (N, D), memory-mapped where they are many."""
        parts = parts_of(self.rows)
        if not parts:
            raise ValueError(f"{self.name}: no image has been seen")
        return mapped(parts) if sum(map(len, parts)) >= _SPILL else torch.cat(parts)

    def compute(self) -> dict[str, float]:
        """The numbers of all images so far, by name."""
        return self.of(self.features)

    def of(self, features: Tensor) -> dict[str, float]:
        """The numbers of a set of features (N, D)."""
        raise NotImplementedError

    def leave_out(
        self, features: Tensor, bounds: Sequence[tuple[int, int]]
    ) -> tuple[dict[str, float], list[dict[str, float]]]:
        """The numbers of all features, and of all but those of each block ``[first, last)``."""
        return self.of(features), [self.of(rows) for rows in without_blocks(features, bounds)]


def without_blocks(features: Tensor, bounds: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
    """All features (N, D) but those of each block ``[first, last)`` in turn."""
    return (torch.cat([features[:first], features[last:]]) for first, last in bounds)


def parts_between(count: int, bounds: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts ``[first, last)`` into which the ends of blocks divide ``count`` rows.

    >>> parts_between(9, [(2, 4), (4, 6)])
    [(0, 2), (2, 4), (4, 6), (6, 9)]
    """
    return list(pairwise(sorted({0, count, *(end for block in bounds for end in block)})))


def check_pair(features: Tensor, reference: Tensor, name: str = "two sets of features") -> None:
    """Refuses features that cannot be compared.

    Raises:
        ValueError: not (N, D) and (M, D), or a value is not finite.
    """
    if features.ndim != 2 or reference.ndim != 2 or features.shape[1] != reference.shape[1]:
        raise ValueError(
            f"{name}: features are (N, D) of one D, got {tuple(features.shape)} and "
            f"{tuple(reference.shape)}"
        )
    if not features.isfinite().all():
        raise ValueError(f"{name}: features with NaN or infinite values: is an image broken?")
