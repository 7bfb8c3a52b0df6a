"""The Fréchet distance between two sets of features, taken as Gaussians (FID, arXiv:1706.08500)."""

from __future__ import annotations

import torch
from torch import Tensor

from eval.feature_statistics import FeatureStatistics
from eval.metric.metric import Metric
from zoo.records import Batch

_ROWS = 1024  # features gathered before a product, as in FeatureStatistics
_SPREAD = 1e-12  # squared singular values further apart than this are not told from rounding


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))`` (FID, eq. 6); at least 0, never NaN.

    The trace of the root is the sum of the singular values of ``F_a^T F_b`` for any factors
    ``S = F F^T``: of the centred features themselves where a set has no more of them than
    dimensions, else of Cholesky factors. Nothing is squared that would lose a rank-deficient
    covariance's small values, which is where scipy's ``sqrtm`` goes wrong.

    Raises:
        ValueError: the dimensions differ, or a set has fewer than two features.
    """
    if a.dimensions != b.dimensions:
        raise ValueError(
            f"features of {a.dimensions} and {b.dimensions} dimensions cannot be compared: "
            "were they made by one extractor?"
        )
    gap = (a.mean - b.mean).square().sum()
    traces = _trace(a) + _trace(b)
    return max(0.0, float(gap + traces - 2 * _trace_of_root(a, b)))


def _trace(statistics: FeatureStatistics) -> Tensor:
    centred = statistics.centred
    if centred is not None and len(centred) > 1:
        return centred.square().sum() / (len(centred) - 1)
    return statistics.covariance.diagonal().sum()


def _trace_of_root(a: FeatureStatistics, b: FeatureStatistics) -> Tensor:
    few_a, few_b = a.centred is not None, b.centred is not None
    if not few_a and not few_b:
        lower, failed = torch.linalg.cholesky_ex(a.covariance)
        if not failed:
            squares = torch.linalg.eigvalsh(lower.T @ b.covariance @ lower)
            if squares[0] > _SPREAD * squares[-1]:  # twice as fast as singular values, and as good
                return squares.sqrt().sum()
    return torch.linalg.svdvals(_factor(a).T @ _factor(b)).sum()


def _factor(statistics: FeatureStatistics) -> Tensor:
    """F with ``F F^T`` the covariance: (D, N) of kept features, else (D, D)."""
    centred = statistics.centred
    if centred is not None:
        return centred.T / (len(centred) - 1) ** 0.5
    lower, failed = torch.linalg.cholesky_ex(statistics.covariance)
    if not failed:
        return lower
    values, vectors = torch.linalg.eigh(statistics.covariance)
    return vectors * values.clamp(min=0).sqrt()


class FrechetDistance(Metric):
    """The Fréchet distance of the images seen to a reference; without further name, FID.

    The states are sums of the features less the reference's mean, so that nothing large cancels.

    Args:
        reference: the statistics of the set to compare with.
        extractor: the name of the extractor that made them.
        feature: which of its features.
    """

    stem = "fid"
    against = "statistics"
    definition = "Fréchet distance between Gaussians fitted to the features of both sets"
    higher_is_better = False
    first: Tensor
    second: Tensor
    summed: Tensor
    rows: list[Tensor] | Tensor  # one tensor where processes have been gathered

    def __init__(self, reference: FeatureStatistics, extractor: str, feature: str = "pool") -> None:
        super().__init__(extractor, feature)
        self.reference = reference
        size = reference.dimensions
        zeros = torch.zeros(size, dtype=torch.float64)
        self.add_state("summed", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("first", zeros, dist_reduce_fx="sum")
        self.add_state("second", zeros.new_zeros(size, size), dist_reduce_fx="sum")
        self.add_state("rows", [], dist_reduce_fx="cat")

    def update(self, features: dict[str, Tensor], batch: Batch) -> None:
        """Adds the features of one batch."""
        values = self.read(features).detach().to("cpu", torch.float64)
        if values.ndim != 2 or values.shape[1] != self.reference.dimensions:
            raise ValueError(
                f"{self.name}: features are (B, {self.reference.dimensions}) like the reference's, "
                f"got {tuple(values.shape)}"
            )
        if not values.isfinite().all():
            raise ValueError(f"{self.name}: features with NaN or infinite values")
        kept = [self.rows] if isinstance(self.rows, Tensor) else self.rows
        self.rows = [*kept, (values - self.reference.mean).to(self.device)]
        # Kept while they are few: see FeatureStatistics.
        if sum(map(len, self.rows)) > max(_ROWS, self.reference.dimensions):
            rows = torch.cat(self.rows)
            self.rows = []
            self.first += rows.sum(dim=0)
            self.second.addmm_(rows.T, rows)
            self.summed += len(rows)

    def statistics(self) -> FeatureStatistics:
        """The statistics of what was seen so far."""
        mean = self.reference.mean
        seen = FeatureStatistics()
        if self.summed > 1:
            count = int(self.summed)
            first, second = self.first.cpu(), self.second.cpu()
            scatter = second - torch.outer(first, first) / count
            seen = FeatureStatistics.from_moments(
                mean + first / count, scatter / (count - 1), count
            )
        for rows in [self.rows] if isinstance(self.rows, Tensor) else self.rows:
            seen.update(rows.cpu() + mean)
        return seen

    def compute(self) -> dict[str, float]:
        """The distance, under this metric's name."""
        return {self.name: frechet_distance(self.statistics(), self.reference)}


class SpatialFrechetDistance(FrechetDistance):
    """sFID (arXiv:2103.03841): of spatial features, which know where in the image things are."""

    stem = "sfid"
    definition = (
        "Fréchet distance of spatial features: as FID, but of where things are in an image rather "
        "than of what there is."
    )
    reads = "spatial"
    needs = "an extractor with spatial features (inception)"

    def __init__(
        self, reference: FeatureStatistics, extractor: str, feature: str = "spatial"
    ) -> None:
        super().__init__(reference, extractor, feature)
