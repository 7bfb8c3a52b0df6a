"""Nearest-neighbour metrics: precision, recall, density and coverage.

From arXiv:1904.06991 and arXiv:2002.09797.

A set's manifold is the union of balls around its features, each reaching to its k-th neighbour in
the same set. Precision is the share of generated images on the real manifold, recall the share of
real ones on the generated; density is the number of real balls around a generated image, over k,
and coverage is the share of real balls that contain any generated image. All are comparable only
at equal counts of images on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from eval.metric.metric import NotEstimable
from eval.metric.rows import RowsMetric, check_pair, parts_between
from eval.result.heading import heading

_CHUNK = 1024  # rows of a distance matrix at once


class Neighbours(NamedTuple):
    """The four shares of a set of generated features, and the same with each block left out.

    Attributes:
        precision: in [0, 1].
        recall: in [0, 1].
        density: at least 0, about 1 for equal distributions.
        coverage: in [0, 1].
        without: the shares with block r left out, for each block.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    without: tuple[Neighbours, ...] = ()


def neighbours(
    features: Tensor,
    reference: Tensor,
    k: int = 3,
    k_density: int = 5,
    blocks: Sequence[tuple[int, int]] = (),
) -> Neighbours:
    """Precision and recall at ``k``, density and coverage at ``k_density``.

    As in the papers' own code, a ball includes its border for precision and recall, and excludes it
    for density and coverage. Leaving out a block of generated features changes the other balls of
    that side too; distances are computed only once.

    Args:
        features: generated, (N, D).
        reference: real, (M, D).
        k: a ball reaches to its k-th neighbour, for precision and recall.
        k_density: the same for density and coverage.
        blocks: ``[first, last)`` of each block of generated features to be left out in turn.

    Raises:
        NotEstimable: a set has no k-th neighbour.
        ValueError: the dimensions differ.
    """
    check_pair(features, reference)
    fewest = len(features) - max((b - a for a, b in blocks), default=0)
    if min(fewest, len(reference)) <= max(k, k_density):
        raise NotEstimable(
            f"balls that reach to neighbour {max(k, k_density)} need more features than that from "
            f"each set, got {fewest} generated and {len(reference)} real"
        )
    centre = reference.double().mean(dim=0)
    x, y = features.double() - centre, reference.double() - centre
    return _Pass(x, y, k, k_density, blocks).shares()


class _Pass:
    """Every distance once, in chunks of rows of the real features."""

    def __init__(
        self,
        features: Tensor,
        reference: Tensor,
        k: int,
        k_density: int,
        blocks: Sequence[tuple[int, int]],
    ) -> None:
        self.features, self.reference = features, reference
        self.k_density, self.blocks = k_density, blocks
        keeps = torch.ones(1 + len(blocks), len(features), dtype=torch.bool)
        for row, (first, last) in enumerate(blocks, start=1):
            keeps[row, first:last] = False
        self.keeps = keeps  # row 0: all; row 1 + r: without block r
        real = _nearest(reference, [(0, len(reference))], max(k, k_density))[:, 0]
        self.radius, self.radius_density = real[:, k - 1], real[:, k_density - 1]
        self.own_radius = self._own_radius(k)
        self._walk()

    def _own_radius(self, k: int) -> Tensor:
        """Squared radii of the generated balls, (1 + R, N): of all, and without each block."""
        parts = parts_between(len(self.features), self.blocks)
        near = _nearest(self.features, parts, k)  # (N, parts, k)
        radii = [near.flatten(1).kthvalue(k).values]
        for first, last in self.blocks:
            left = [i for i, (a, b) in enumerate(parts) if not first <= a < last]
            radii.append(near[:, left].flatten(1).kthvalue(k).values)
        return torch.stack(radii)

    def _walk(self) -> None:
        rows = len(self.keeps)
        self.inside = torch.zeros(len(self.features), dtype=torch.bool)
        self.balls = torch.zeros(len(self.features), dtype=torch.int64)
        self.recalled = torch.zeros(rows, dtype=torch.int64)
        self.covered = torch.zeros(rows, dtype=torch.int64)
        for start in range(0, len(self.reference), _CHUNK):
            stop = start + _CHUNK
            squares = _squares(self.reference[start:stop], self.features)
            self.inside |= (squares <= self.radius[start:stop, None]).any(dim=0)
            close = squares < self.radius_density[start:stop, None]
            self.balls += close.sum(dim=0)
            for row, keep in enumerate(self.keeps):
                self.recalled[row] += ((squares <= self.own_radius[row]) & keep).any(dim=1).sum()
                self.covered[row] += (close & keep).any(dim=1).sum()

    def shares(self) -> Neighbours:
        shares = []
        for row, keep in enumerate(self.keeps):
            shares.append(
                Neighbours(
                    float(self.inside[keep].double().mean()),
                    int(self.recalled[row]) / len(self.reference),
                    float(self.balls[keep].double().mean() / self.k_density),
                    int(self.covered[row]) / len(self.reference),
                )
            )
        return shares[0]._replace(without=tuple(shares[1:]))


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances (N, M), float64."""
    norms = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    return norms.addmm_(x, y.T, alpha=-2).clamp_(min=0)


def _nearest(x: Tensor, parts: Sequence[tuple[int, int]], k: int) -> Tensor:
    """Squared distances of each row to its k nearest others in each part, (N, parts, k).

    The rest is inf where a part has fewer.
    """
    distances = torch.full((len(x), len(parts), k), torch.inf, dtype=torch.float64)
    for start in range(0, len(x), _CHUNK):
        squares = _squares(x[start : start + _CHUNK], x)
        rows = torch.arange(len(squares))
        squares[rows, rows + start] = torch.inf  # a feature is not its own neighbour
        for part, (first, last) in enumerate(parts):
            near = squares[:, first:last].topk(min(k, last - first), largest=False, sorted=True)
            distances[start : start + _CHUNK, part, : near.values.shape[1]] = near.values
    return distances


class _Shares(RowsMetric):
    """Two of the four shares, each named after itself."""

    shares: ClassVar[tuple[str, str]]
    definitions: ClassVar[dict[str, str]] = {
        "precision": "Share of generated images that look like some training image: inside a ball "
        "that reaches from a training image to its third neighbour.",
        "recall": "Share of training images that look like some generated image: inside a ball "
        "that reaches from a generated image to its third neighbour.",
        "density": "In how many training images' balls (to the fifth neighbour) a generated image "
        "lies, over 5. About 1 for equal distributions.",
        "coverage": "Share of training images whose ball (to the fifth neighbour) holds a "
        "generated image.",
    }

    def of(self, features: Tensor) -> dict[str, float]:
        return self._named(neighbours(features, self.reference))

    def leave_out(
        self, features: Tensor, bounds: Sequence[tuple[int, int]]
    ) -> tuple[dict[str, float], list[dict[str, float]]]:
        """As in the base, with every distance computed once."""
        result = neighbours(features, self.reference, blocks=bounds)
        return self._named(result), [self._named(shares) for shares in result.without]

    def limits(self, name: str) -> tuple[float, float]:
        return 0.0, math.inf if name.startswith("density") else 1.0

    def heading(self, name: str, count: int | None = None) -> str:
        return heading(self._share(name), count, self.extractor)

    def define(self, name: str, num_images: int, num_sets: int = 1) -> str:
        return self.definitions[self._share(name)]

    def _share(self, name: str) -> str:
        return name.removesuffix(f"_{self.extractor}")

    def _named(self, result: Neighbours) -> dict[str, float]:
        return {f"{share}_{self.extractor}": getattr(result, share) for share in self.shares}


class PrecisionRecall(_Shares):
    """Improved precision and recall of the images, k = 3."""

    stem, shares = "precision", ("precision", "recall")
    definition = "shares of images inside the other set's balls to the third neighbour"
    higher_is_better = True


class DensityCoverage(_Shares):
    """Density and coverage of the images, k = 5."""

    stem, shares = "density", ("density", "coverage")
    definition = "training images' balls to the fifth neighbour, and how many contain images"
    higher_is_better = True
