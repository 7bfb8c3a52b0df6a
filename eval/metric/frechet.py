"""The Fréchet distance between two sets of features, taken as Gaussians (FID, arXiv:1706.08500)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torchmetrics
from torch import Tensor

from eval.extractor.extractor import Extractor, is_of_text, provided
from eval.metric.metric import Metric, heading
from eval.moments.feature_statistics import FeatureStatistics
from eval.moments.triangle import add_products, scatter_length
from eval.source.batch import Images

_ROWS = 1024  # features gathered before a product, as in FeatureStatistics
DINO = "dinov2"
"""How extractors are named whose Fréchet distance has a name of its own."""
_LOST = 1e-12  # of the trace of the root: what its eigenvalues may have lost to rounding


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
    first, second = _factors(a, b)
    return max(0.0, float(gap + first.trace + second.trace - 2 * _trace_of_root(first, second)))


class _Factor(NamedTuple):
    """F (D, K) with ``F F^T`` the covariance S.

    Attributes:
        matrix: F.
        trace: of S.
        log_volume: ``log det F`` of a triangular F, else None.
    """

    matrix: Tensor
    trace: Tensor
    log_volume: Tensor | None = None


def _factors(a: FeatureStatistics, b: FeatureStatistics) -> list[_Factor]:
    rows = [one.centred for one in (a, b)]
    if rows[0] is None and rows[1] is None:
        first, second = a.covariance, b.covariance
        # The order of features is free. By falling variance the factors' columns fall too, and
        # eigenvalues of their product keep their digits down to the smallest.
        order = (first.diagonal() * second.diagonal()).argsort(descending=True)
        return [_of_covariance(one[order][:, order]) for one in (first, second)]
    return [
        _of_covariance(one.covariance) if kept is None else _of_rows(kept)
        for one, kept in zip((a, b), rows, strict=True)
    ]


def _of_rows(centred: Tensor) -> _Factor:
    if len(centred) < 2:
        raise ValueError(f"statistics of {len(centred)} features; at least 2 are needed")
    rows = centred / (len(centred) - 1) ** 0.5
    return _Factor(rows.T, rows.square().sum())


def _of_covariance(covariance: Tensor) -> _Factor:
    trace = covariance.diagonal().sum()
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return _Factor(lower, trace, lower.diagonal().log().sum())
    values, vectors = torch.linalg.eigh(covariance)
    real = values > len(values) * torch.finfo(values.dtype).eps * values[-1]  # the rest is rounding
    return _Factor(vectors[:, real] * values[real].sqrt(), trace)


def _trace_of_root(first: _Factor, second: _Factor) -> Tensor:
    """The sum of the singular values of ``F_a^T F_b``.

    Eigenvalues of its square take a fifth of the time and mostly do. Their product is known
    beforehand, for the factors are triangular, and what it misses is the relative error of the
    smallest eigenvalues, which rounding harms first.
    """
    cross = first.matrix.T @ second.matrix
    if first.log_volume is not None and second.log_volume is not None:
        squares = torch.linalg.eigvalsh(cross @ cross.T)
        missed = squares.log().sum() / 2 - first.log_volume - second.log_volume
        roots = squares.sqrt()
        lost = missed.abs() * roots[0] * len(roots) ** 0.5
        if lost < _LOST * roots.sum():  # NaN, of a negative square, is not
            return roots.sum()
    return torch.linalg.svdvals(cross).sum()


class FrechetDistance(Metric):
    """The Fréchet distance of the images seen to a reference; without further name, FID.

    The states are sums of the features less the reference's mean, so that nothing large cancels.
    At 2,048 dimensions they take 18 MiB, and up to 16 MiB more hold features that are not summed
    yet; ten blocks of a jackknife take 180 to 340 MiB, however many images there are.

    Args:
        reference: the statistics of the set to compare with.
        extractor: the name of the extractor that made them.
        feature: which of its features.
    """

    stem, title = "fid", "FID"
    against = "statistics"
    definition = "Fréchet distance between Gaussians fitted to the features of both sets"
    higher_is_better = False
    optional = True
    per_count = True
    distance = True
    first: Tensor
    second: Tensor  # as eval.moments.triangle keeps it
    summed: Tensor
    rows: list[Tensor] | Tensor  # one tensor where processes have been gathered

    def __init__(self, reference: FeatureStatistics, extractor: str, feature: str = "pool") -> None:
        super().__init__(extractor, feature)
        self.reference = reference
        size = reference.dimensions
        self.add_state("summed", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("first", torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")
        zero = torch.zeros(1, dtype=torch.float64)
        self.add_state("second", zero, dist_reduce_fx="sum")
        # Room is taken when something is added, and none for what a reset goes back to.
        self.second = self._defaults["second"] = zero.expand(scatter_length(size))
        self.add_state("rows", [], dist_reduce_fx="cat")

    @property
    def dimensions(self) -> int:
        """The length of a feature."""
        return self.reference.dimensions

    def heading(self, name: str, count: int | None = None) -> str:
        if self.stem == "fid" and self.extractor.startswith(DINO):  # FID is Inception's by name
            return heading("FD-DINOv2", count, self.extractor.removeprefix(DINO) and self.extractor)
        return super().heading(name, count)

    def limits(self, name: str) -> tuple[float, float]:
        return 0.0, math.inf

    def define(self, name: str, num_images: int, num_sets: int = 1) -> str:
        if not self.per_count:
            return self.definition
        count = self.reference.count
        return (
            f"Fréchet distance, with the features of the network '{self.extractor}': how far a "
            f"crowd of {num_images} images{_mean_of(num_sets)} lies from the crowd of "
            f"{'the' if count is None else f'{count:,}'} reference images, in average look and in "
            "variety. 0 would be the same crowd. It falls as sets grow, so only equal counts "
            f"compare.{self._of_too_few(num_images)}"
        )

    def _of_too_few(self, num_images: int) -> str:
        if num_images > self.dimensions:
            return ""
        return (
            f" Mind: {num_images} images cannot fill the {self.dimensions} dimensions of these "
            "features, so a part of what is compared is unknown; FID means little below that count."
        )

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds the features of one batch."""
        values = self.read(features).detach()
        if values.ndim != 2 or values.shape[1] != self.reference.dimensions:
            raise ValueError(
                f"{self.name}: features are (B, {self.reference.dimensions}) like the reference's, "
                f"got {tuple(values.shape)}"
            )
        if not values.isfinite().all():
            raise ValueError(f"{self.name}: features with NaN or infinite values")
        self.rows = [*self._parts(), values.to(self.device, copy=True)]
        # Kept while they are few: see FeatureStatistics.
        if sum(map(len, self.rows)) > max(_ROWS, self.reference.dimensions):
            self._sum_up()

    def merge_state(self, incoming_state: dict[str, Any] | torchmetrics.Metric) -> None:
        """Adds another instance's states; where it has sums already, its rows join them first."""
        if isinstance(incoming_state, FrechetDistance) and incoming_state.summed:
            incoming_state._sum_up()  # once, and not anew by whatever it is merged into
        super().merge_state(incoming_state)

    def statistics(self) -> FeatureStatistics:
        """The statistics of what was seen so far."""
        seen = FeatureStatistics()
        if self.summed > 1:
            count, first, scatter = int(self.summed), self.first.cpu(), self.second.cpu().clone()
            add_products(scatter, first[None], scale=-1 / count)
            seen = FeatureStatistics.from_sums(self.reference.mean + first / count, scatter, count)
        for rows in self._parts():
            seen.update(rows)
        return seen

    def _parts(self) -> list[Tensor]:
        return [self.rows] if isinstance(self.rows, Tensor) else list(self.rows)

    def _sum_up(self) -> None:
        """Moves the kept rows into the sums."""
        parts = self._parts()
        if not parts:
            return
        rows = torch.cat(parts).double()
        rows -= self.reference.mean.to(rows.device)
        self.rows = []
        self.first += rows.sum(dim=0)
        self.second = self.second.contiguous()
        add_products(self.second, rows)
        self.summed += len(rows)

    def compute(self) -> dict[str, float]:
        """The distance, under this metric's name."""
        return {self.name: frechet_distance(self.statistics(), self.reference)}


def _mean_of(num_sets: int) -> str:
    return f", the mean of {num_sets} disjoint sets" if num_sets > 1 else ""


class SpatialFrechetDistance(FrechetDistance):
    """sFID (arXiv:2103.03841): of spatial features, which know where in the image things are."""

    stem, title = "sfid", "sFID"
    optional = per_count = False
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


class ClipFrechetDistance(FrechetDistance):
    """The Fréchet distance of a CLIP's image features; clean-fid's is OpenAI's ViT-B/32.

    The features are those that captions are compared with, not normalised. clean-fid prepares
    images as OpenAI does, and so does ``OpenClip``.
    """

    stem, title = "clip_fid", "CLIP-FID"
    optional = per_count = False
    definition = (
        "Fréchet distance, with the image features of a CLIP: as FID, of a network that learned "
        "from captions and not from ImageNet's classes. It falls as sets grow."
    )
    needs = "the image tower of a CLIP (clip_b32, open_clip, small_clip)"

    @classmethod
    def suits(cls, extractor: Extractor, num_classes: int | None) -> bool:
        return is_of_text(extractor) and cls.reads in provided(extractor)
