"""The Fréchet distance without each part of a set in turn, from one factor of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from eval.moments.feature_statistics import FeatureStatistics
from eval.moments.frechet import factor_of


class WithoutEach(NamedTuple):
    """Distances that share their rounding, so that their differences are right.

    Attributes:
        whole: of all parts together.
        without: of all but each part.
    """

    whole: float
    without: list[float]


def distances_without_each(
    parts: Sequence[FeatureStatistics], reference: FeatureStatistics
) -> WithoutEach:
    """The Fréchet distances to ``reference`` of all parts, and of all but each.

    With a factor ``F`` (D, K) of the reference's covariance, the trace of the root is that of
    ``(F^T S F)^(1/2)``. Moments about the reference's mean, seen through F, add up over parts; so a
    part costs two products and the eigenvalues of one symmetric matrix, of size K, or of the number
    of features where they are fewer. The smallest eigenvalues are rounded, which makes all of these
    distances less exact than ``frechet_distance``, by some 1e-7 of the covariances' traces.

    Args:
        parts: at least two, each of at least two features and of known count.
        reference: what they are compared with.
    """
    factor = factor_of(reference)
    sums = [_Sums.of(part, reference.mean) for part in parts]
    total = reduce(_Sums.plus, sums)
    rows = [each.rows for each in sums if each.rows is not None]
    if len(rows) == len(parts) and total.count <= factor.matrix.shape[1]:
        roots = _roots_of_rows(rows, factor.matrix)
    else:
        roots = _roots_of_sums(sums, total, factor.matrix)
    distances = [
        (some.gap + some.trace + factor.trace - 2 * root).clamp(min=0).item()
        for some, root in zip([total, *map(total.less, sums)], roots, strict=True)
    ]
    return WithoutEach(distances[0], distances[1:])


@dataclass(frozen=True)
class _Sums:
    """Sums over some features less the reference's mean.

    Attributes:
        count: how many.
        first: their sum, (D,).
        squares: of their squared lengths.
        rows: themselves, (N, D), while they are kept.
        second: else the sum of their outer products, (D, D).
    """

    count: int
    first: Tensor
    squares: Tensor
    rows: Tensor | None = None
    second: Tensor | None = None

    @classmethod
    def of(cls, part: FeatureStatistics, centre: Tensor) -> _Sums:
        offset, count = part.mean - centre, part.count
        assert count is not None
        if (centred := part.centred) is not None:
            rows = centred + offset
            return cls(count, rows.sum(dim=0), rows.square().sum(), rows=rows)
        second = part.covariance * (count - 1)
        second.addmm_(offset[:, None], offset[None], alpha=count)
        return cls(count, count * offset, second.diagonal().sum(), second=second)

    def plus(self, other: _Sums) -> _Sums:
        """The sums of both, without rows and products."""
        return _Sums(
            self.count + other.count, self.first + other.first, self.squares + other.squares
        )

    def less(self, other: _Sums) -> _Sums:
        """The sums without ``other``, and without rows and products."""
        return _Sums(
            self.count - other.count, self.first - other.first, self.squares - other.squares
        )

    @property
    def gap(self) -> Tensor:
        """The squared distance of the means."""
        return (self.first / self.count).square().sum()

    @property
    def trace(self) -> Tensor:
        """Of the covariance."""
        return (self.squares - self.first.square().sum() / self.count) / (self.count - 1)


def _roots_of_rows(parts: Sequence[Tensor], factor: Tensor) -> list[Tensor]:
    """The traces of the roots, of all and without each, from features' products (N, N)."""
    seen = torch.cat([rows @ factor for rows in parts])
    products = seen @ seen.T
    every = torch.arange(len(products))
    rests = [every]
    for first, last in pairwise([0, *accumulate(map(len, parts))]):
        rests.append(torch.cat([every[:first], every[last:]]))
    return [_root_of_products(products[rest][:, rest]) for rest in rests]


def _root_of_products(products: Tensor) -> Tensor:
    means = products.mean(dim=0)
    centred = products - means - means[:, None] + means.mean()
    return _sum_of_roots(centred.div_(len(products) - 1))


def _roots_of_sums(parts: Sequence[_Sums], total: _Sums, factor: Tensor) -> list[Tensor]:
    """As above, from second moments as the factor sees them, (K, K)."""
    seen = [_seen(part, factor) for part in parts]
    whole = reduce(torch.add, seen)
    pairs = [(whole, total)]
    pairs += [(whole - own, total.less(part)) for own, part in zip(seen, parts, strict=True)]
    return [_root_of_sums(*pair, factor) for pair in pairs]


def _seen(part: _Sums, factor: Tensor) -> Tensor:
    if part.rows is not None:
        rows = part.rows @ factor
        return rows.T @ rows
    return factor.T @ part.second @ factor  # type: ignore[operator]


def _root_of_sums(second: Tensor, sums: _Sums, factor: Tensor) -> Tensor:
    mean = (sums.first @ factor)[None]
    return _sum_of_roots((second - mean.T @ mean / sums.count).div_(sums.count - 1))


def _sum_of_roots(symmetric: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(symmetric).clamp(min=0).sqrt().sum()
