"""Bits per dimension of held-out images: the variational bound of a pixel model (DDPM, eq. 5)."""

from __future__ import annotations

import math

from torch import Tensor

from eval.metric.metric import MeanMetric
from eval.source.batch import Images
from eval.source.likelihood import FEATURE


class BitsPerDim(MeanMetric):
    """The mean of the images' bounds, which the model itself computes; latent models have none.

    Its standard error comes from single images, so that even a few images have one.

    Args:
        num_images: of the held-out images, evenly spaced among them; all when None.
        num_steps: of the chain; the schedule's own T when None.
    """

    stem, title = FEATURE, "bits/dim"
    unit = "bits"
    against = "model"
    reads = None
    definition = "variational bound on -log2 p of 8-bit images, per dimension, x0 clipped"
    higher_is_better = False

    def __init__(self, num_images: int | None = None, num_steps: int | None = None) -> None:
        super().__init__(feature=FEATURE)
        self.num_images, self.num_steps = num_images, num_steps

    def define(self, name: str, num_images: int, num_sets: int = 1) -> str:
        steps = f"over {self.num_steps} steps" if self.num_steps else "over all steps"
        return (
            f"How many bits the model needs at most for each colour value of {num_images} held-out "
            f"images: the variational bound, {steps}. A model that knows nothing needs 8."
        )

    def standard_error(self, name: str) -> float | None:
        """The images' standard deviation over sqrt(N); None for a single image."""
        count = int(self.count)
        if count < 2:
            return None
        variance = float(self.squares) - count * (float(self.total) / count) ** 2
        return math.sqrt(max(0.0, variance) / (count - 1) / count)

    def of(self, features: dict[str, Tensor], images: Images) -> Tensor:
        """The bound of each image, (B,) bits per dimension."""
        return self.read(features)
