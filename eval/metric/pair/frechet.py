"""rFID: the Fréchet distance of reconstructions to their originals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from eval.extractor.extractor import Extractor, is_of_text, provided
from eval.metric.metric import parts_of
from eval.metric.rows import RowsMetric
from eval.moments import FeatureStatistics, frechet_distance

_SIDES = ("original", "reconstruction")


class ReconstructionDistance(RowsMetric):
    """``frechet_distance`` of reconstructions to their originals.

    An image is left out together with its reconstruction, so that a jackknife shows how the choice
    of images moves the distance, and nothing else.
    """

    stem, title = "rfid", "rFID"
    against = "pairs"
    needs = "an autoencoder and an extractor of images alone"
    definition = "Fréchet distance between Gaussians fitted to the features of both sets"
    higher_is_better = False
    per_count = True
    distance = True

    def __init__(self, extractor: str) -> None:
        super().__init__(None, extractor, feature="reconstruction")

    @classmethod
    def suits(cls, extractor: Extractor, num_classes: int | None) -> bool:
        return "pool" in provided(extractor) and not is_of_text(extractor)

    @property
    def dimensions(self) -> int | None:
        """The length of a feature, once there is one."""
        parts = parts_of(self.rows)
        return parts[0].shape[1] // 2 if parts else None

    def limits(self, name: str) -> tuple[float, float]:
        return 0.0, math.inf

    def define(self, name: str, num_images: int, num_sets: int = 1) -> str:
        return (
            f"Fréchet distance, with the features of the network '{self.extractor}', of the "
            f"reconstructions of {num_images:,} held-out images to these images themselves, not to "
            "training images: what the autoencoder changes in average look and in variety. 0 would "
            "be no change. It falls as sets grow, so only equal counts are comparable."
        )

    def read(self, features: dict[str, Tensor]) -> Tensor:
        """Features of both sides, (B, 2 D): of the original, then of its reconstruction.

        Raises:
            ValueError: the sides are not both (B, D).
        """
        original, reconstruction = (features[side] for side in _SIDES)
        if original.shape != reconstruction.shape or original.ndim != 2:
            raise ValueError(
                f"{self.name}: features of both sides are (B, D), got {tuple(original.shape)} and "
                f"{tuple(reconstruction.shape)}"
            )
        return torch.cat([original, reconstruction], dim=1)

    def check(self, values: Tensor) -> None:
        """Refuses features that are not finite."""
        if not values.isfinite().all():
            raise ValueError(f"{self.name}: features with NaN or infinite values")

    def of(self, features: Tensor) -> dict[str, float]:
        return self._distance([_both(features)])

    def leave_out(
        self, features: Tensor, bounds: Sequence[tuple[int, int]]
    ) -> tuple[dict[str, float], list[dict[str, float]]]:
        """As in the base, from the moments of each block."""
        blocks = [_both(features[first:last]) for first, last in bounds]
        rest = [[*blocks[:r], *blocks[r + 1 :]] for r in range(len(blocks))]
        return self._distance(blocks), [self._distance(others) for others in rest]

    def _distance(self, blocks: Sequence[dict[str, FeatureStatistics]]) -> dict[str, float]:
        pooled = {side: FeatureStatistics() for side in _SIDES}
        for block in blocks:
            for side, statistics in block.items():
                pooled[side].merge(statistics)
        return {self.name: frechet_distance(pooled["reconstruction"], pooled["original"])}


def _both(features: Tensor) -> dict[str, FeatureStatistics]:
    return {
        side: FeatureStatistics(part)
        for side, part in zip(_SIDES, features.chunk(2, dim=1), strict=True)
    }
