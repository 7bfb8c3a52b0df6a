"""rFID: the Fréchet distance of reconstructions to the very images that were reconstructed."""

from __future__ import annotations

import torch
from torch import Tensor

from eval.metric.frechet import frechet_distance
from eval.metric.metric import Metric
from eval.moments.feature_statistics import FeatureStatistics
from zoo.records import Batch

_ROWS = 1024  # features gathered before a product, as in FeatureStatistics
_SIDES = ("original", "reconstruction")


class ReconstructionDistance(Metric):
    """``frechet_distance`` of reconstructions to their originals.

    An image is left out together with its reconstruction, so that a jackknife tells how the choice
    of images moves the distance, and nothing else. Features are kept while they are few, as
    ``FeatureStatistics`` does; then their sums are.

    Args:
        dimensions: the length of a feature.
        extractor: the name of the extractor that makes them.
    """

    stem = "rfid"
    against = "pairs"
    definition = "Fréchet distance between Gaussians fitted to the features of both sets"
    higher_is_better = False
    summed: Tensor

    def __init__(self, dimensions: int, extractor: str) -> None:
        super().__init__(extractor, feature="reconstruction")
        self.dimensions = dimensions
        self.add_state("summed", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        for side in _SIDES:
            self.add_state(f"{side}_rows", [], dist_reduce_fx="cat")
            for moment, size in (("first", (dimensions,)), ("second", (dimensions, dimensions))):
                zeros = torch.zeros(size, dtype=torch.float64)
                self.add_state(f"{side}_{moment}", zeros, dist_reduce_fx="sum")

    def update(self, features: dict[str, Tensor], batch: Batch | None = None) -> None:
        """Adds the features of ``original`` and ``reconstruction``, (B, D) each."""
        shapes = {tuple(features[side].shape) for side in _SIDES}
        if len(shapes) > 1 or next(iter(shapes))[1:] != (self.dimensions,):
            raise ValueError(
                f"{self.name}: features of both sides are (B, {self.dimensions}), got {shapes}"
            )
        for side in _SIDES:
            values = features[side].detach().to(self.device, torch.float64)
            if not values.isfinite().all():
                raise ValueError(f"{self.name}: features with NaN or infinite values")
            setattr(self, f"{side}_rows", [*self._rows(side), values])
        if sum(map(len, self._rows("original"))) > max(_ROWS, self.dimensions):
            self._sum_up()

    def _rows(self, side: str) -> list[Tensor]:
        rows = getattr(self, f"{side}_rows")
        return [rows] if isinstance(rows, Tensor) else list(rows)  # one where gathered

    def _sum_up(self) -> None:
        for side in _SIDES:
            rows = torch.cat(self._rows(side))
            setattr(self, f"{side}_rows", [])
            getattr(self, f"{side}_first").add_(rows.sum(dim=0))
            getattr(self, f"{side}_second").addmm_(rows.T, rows)
        self.summed += len(rows)

    def statistics(self, side: str) -> FeatureStatistics:
        """The statistics of all features of "original" or "reconstruction"."""
        seen = FeatureStatistics()
        if self.summed > 1:
            count = int(self.summed)
            mean = getattr(self, f"{side}_first").cpu() / count
            scatter = getattr(self, f"{side}_second").cpu() - count * torch.outer(mean, mean)
            seen = FeatureStatistics.from_moments(mean, scatter / (count - 1), count)
        for rows in self._rows(side):
            seen.update(rows.cpu())
        return seen

    def compute(self) -> dict[str, float]:
        """The distance, under this metric's name."""
        original, reconstruction = map(self.statistics, _SIDES)
        return {self.name: frechet_distance(reconstruction, original)}
