"""KID's unbiased estimate over all pairs (arXiv:1801.01401, eq. 4): no subsets' own chance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

_CHUNK = 2048  # rows of a kernel matrix at once


def cubic(x: Tensor, y: Tensor) -> Tensor:
    """KID's kernel ``(x . y / D + 1)^3`` of all pairs of rows: (N, M) of (N, D) and (M, D)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


class AllPairs:
    """The estimate against one reference, again and again.

    Args:
        reference: features (M, D), M at least 2.
    """

    def __init__(self, reference: Tensor) -> None:
        self.reference = reference
        count = len(reference)
        own = sum(_sum(rows, reference) for rows in reference.split(_CHUNK))
        self._own = (own - _with_themselves(reference)) / (count * (count - 1))

    def of(self, features: Tensor, bounds: Sequence[tuple[int, int]]) -> tuple[float, list[float]]:
        """The estimate of features (N, D), and without those of each block ``[first, last)``."""
        edges = sorted({0, len(features), *(edge for block in bounds for edge in block)})
        parts = list(pairwise(edges))
        rows = [features[first:last] for first, last in parts]
        own = torch.zeros(len(parts), len(parts), dtype=torch.float64)
        for i, ours in enumerate(rows):
            for j, theirs in enumerate(rows[: i + 1]):
                own[i, j] = own[j, i] = _sum(ours, theirs)
            own[i, i] -= _with_themselves(ours)
        cross = torch.tensor([_sum(ours, self.reference) for ours in rows], dtype=torch.float64)

        def over(kept: list[int]) -> float:
            count = sum(parts[i][1] - parts[i][0] for i in kept)
            within = float(own[kept][:, kept].sum()) / (count * (count - 1))
            across = float(cross[kept].sum()) / (count * len(self.reference))
            return within + self._own - 2 * across

        every = list(range(len(parts)))
        left = [[i for i in every if not a <= parts[i][0] < b] for a, b in bounds]
        return over(every), [over(kept) for kept in left if kept]


def _sum(x: Tensor, y: Tensor) -> float:
    """Of the kernel over all pairs."""
    x = x.double()
    return sum(float(cubic(x, some.double()).sum()) for some in y.split(_CHUNK))


def _with_themselves(x: Tensor) -> float:
    """What the pairs of a row with itself add to the sum."""
    return float(((x.double().square().sum(dim=1) / x.shape[1] + 1) ** 3).sum())
