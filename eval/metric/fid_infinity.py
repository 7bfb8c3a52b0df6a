"""FID at an unlimited number of images, extrapolated (arXiv:1911.07023), with its sampling noise.

The extrapolation is linear in the distances of random subsets, and a distance is, to first order, a
mean over images. So FID-infinity is one too, with known weights, and its jackknife over blocks
costs one decomposition instead of fifteen distances for each of ten blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from eval.metric.frechet import DINO, frechet_distance
from eval.metric.metric import NotEstimable
from eval.metric.rows import RowsMetric, check_pair
from eval.moments.feature_statistics import FeatureStatistics
from eval.result.heading import heading

_CHUNK = 4096  # rows taken out of a memory-mapped file at once
_SPREAD = 1e-12  # variances further below the largest are rounding


class Extrapolation(NamedTuple):
    """A line through FID over 1/N.

    Attributes:
        value: its intercept, at 1/N = 0.
        slope: per 1/N; the bias of a count is slope / N.
        counts: the numbers of images in the fit.
        distances: FID at each count.
    """

    value: float
    slope: float
    counts: tuple[int, ...]
    distances: tuple[float, ...]


def fid_infinity(
    features: Tensor, reference: FeatureStatistics, points: int = 15, seed: int = 0
) -> Extrapolation:
    """Fits FID = value + slope / N at ``points`` counts from a tenth of the images to all.

    Subsets are drawn without replacement from numpy's RandomState(seed). Only the generated side is
    extrapolated, not the reference. A bias of order 1/N^2 remains: it makes the value a few per
    cent too small where the smallest subset is just twice the dimensions.

    Args:
        features: generated, (N, D), perhaps memory-mapped.
        reference: statistics of the reference.
        points: how many counts.
        seed: of the subsets.

    Raises:
        NotEstimable: a subset of twice as many images as dimensions, below which FID is not linear
            in 1/N, would be more than half of all.
        ValueError: fewer than two points.
    """
    distances = [
        frechet_distance(_statistics(features, rows), reference)
        for rows in subsets(len(features), reference.dimensions, points, seed)
    ]
    counts = _counts(len(features), reference.dimensions, points)
    slope, value = np.polyfit(1 / counts, distances, 1)
    return Extrapolation(float(value), float(slope), tuple(counts.tolist()), tuple(distances))


def subsets(count: int, dimensions: int, points: int, seed: int) -> Iterator[Tensor]:
    """The rows (n,) of each point, in rising order."""
    random = np.random.RandomState(seed)
    for n in _counts(count, dimensions, points):
        yield torch.from_numpy(np.sort(random.permutation(count)[:n]))


def shares(count: int, dimensions: int, points: int, seed: int) -> Tensor:
    """The weight of each image's influence in the extrapolated value, (N,) float64; sums to 1.

    A subset's mean has the weight of its distance in the least-squares line's intercept.
    """
    counts = _counts(count, dimensions, points)
    line = np.linalg.pinv(np.stack([1 / counts, np.ones(points)], axis=1))
    weights = torch.zeros(count, dtype=torch.float64)
    for coefficient, rows in zip(line[1], subsets(count, dimensions, points, seed), strict=True):
        weights[rows] += coefficient / len(rows)
    return weights


def influences(features: Tensor, reference: FeatureStatistics) -> Tensor:
    """Each image's contribution to the Fréchet distance, to first order, (N,) float64 of mean 0.

    With the map T that transports one Gaussian to the other, the distance's derivative is
    ``2 (m - m_r)`` in the mean and ``I - T`` in the covariance (Olkin & Pukelsheim 1982).
    """
    statistics = _statistics(features, torch.arange(len(features)))
    gap = statistics.mean - reference.mean
    variances, axes = torch.linalg.eigh(statistics.covariance)
    real = variances > _SPREAD * variances[-1]
    scales, axes = variances[real].sqrt(), axes[:, real]
    factor = axes * scales
    squares, turned = torch.linalg.eigh(factor.T @ reference.covariance @ factor)
    roots = squares.clamp(min=0).sqrt()
    whitened = turned.T @ (axes / scales).T  # T = whitened^T diag(roots) whitened
    parts = []
    for part in features.split(_CHUNK):
        centred = part.double() - statistics.mean
        moved = (centred @ whitened.T).square() @ roots
        parts.append(2 * centred @ gap + centred.square().sum(dim=1) - moved)
    values = torch.cat(parts)
    return values - values.mean()


def _counts(count: int, dimensions: int, points: int) -> np.ndarray:
    if points < 2:
        raise ValueError(f"a line needs at least 2 points, got {points}")
    smallest = max(count // 10, 2 * dimensions)
    if 2 * smallest > count:
        raise NotEstimable(
            f"FID-infinity is not estimable from {count} images: its smallest subset needs "
            f"{2 * dimensions}, twice the feature's dimensions, and may be half of all at most"
        )
    return np.linspace(smallest, count, points).round().astype(int)


def _statistics(features: Tensor, rows: Tensor) -> FeatureStatistics:
    statistics = FeatureStatistics()
    for part in rows.split(_CHUNK):
        statistics.update(features[part])
    return statistics


class FidInfinity(RowsMetric):
    """FID-infinity of the images.

    The line goes through ``points`` counts; ``seed`` is of the subsets.
    """

    stem, title = "fid_infinity", "FID∞"
    against = "statistics"
    definition = (
        "What FID would be with an unlimited number of images: a straight line through FID at "
        "growing counts, extrapolated; by chance it may be below 0. The interval covers the chance "
        "of the images and of the subsets, not how far FID departs from a straight line."
    )
    higher_is_better = False
    distance = True

    def __init__(
        self,
        reference: FeatureStatistics,
        extractor: str,
        feature: str | None = None,
        points: int = 15,
        seed: int = 0,
    ) -> None:
        super().__init__(reference, extractor, feature)
        self.points, self.seed = points, seed

    def heading(self, name: str, count: int | None = None) -> str:
        if self.extractor.startswith(DINO):
            network = self.extractor.removeprefix(DINO) and self.extractor
            return heading("FD∞-DINOv2", count, network)
        return super().heading(name, count)

    def check(self, values: Tensor) -> None:
        """Refuses features of another dimension than the reference's, or not finite."""
        check_pair(values, self.reference.mean[None], self.name)

    def of(self, features: Tensor) -> dict[str, float]:
        return {self.name: fid_infinity(features, self.reference, self.points, self.seed).value}

    def leave_out(
        self, features: Tensor, bounds: Sequence[tuple[int, int]]
    ) -> tuple[dict[str, float], list[dict[str, float]]]:
        """The value, and what it would be without each block, to first order."""
        whole = self.of(features)[self.name]
        share = shares(len(features), self.reference.dimensions, self.points, self.seed)
        moved = share * influences(features, self.reference)
        parts = torch.stack([moved[first:last].sum() for first, last in bounds])
        # so that the jackknife's pseudo-values are the value plus R times a block's contribution
        without = whole - len(bounds) / (len(bounds) - 1) * (parts - parts.mean())
        return {self.name: whole}, [{self.name: value} for value in without.tolist()]
