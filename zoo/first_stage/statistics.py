"""The mean and the deviation of latents, from the moments of a whole data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor


class HasMeanVariance(Protocol):
    """A first stage that knows the mean and the variance behind its moments."""

    def mean_variance(self, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the latents before shift and scale, each (B, C, h, w)."""


@torch.no_grad()
def latent_sums(first_stage: HasMeanVariance, moments: Iterable[Tensor]) -> Tensor:
    """Count, sums and sums of squares of the latents before shift and scale, that training draws.

    Of all draws, exactly: the variance of each latent's own posterior is in it. The sums of parts
    of a set add up to those of the whole.

    Args:
        first_stage: gives mean and variance.
        moments: of batches of images.

    Returns:
        (3, C) float64 on the CPU; zeros (3, 1) where there are no images.
    """
    sums = torch.zeros(3, 1, dtype=torch.float64)
    for batch in moments:
        mean, variance = (v.double() for v in first_stage.mean_variance(batch.cpu()))
        squares = mean.square() + variance
        count = torch.full((mean.shape[1],), float(mean[:, 0].numel()), dtype=torch.float64)
        sums = sums + torch.stack([count, mean.sum((0, 2, 3)), squares.sum((0, 2, 3))])
    return sums


def latent_statistics(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the latents, each (C,) float64, of their ``latent_sums``.

    Raises:
        ValueError: there are no images.
    """
    count, total, squares = sums
    if not count.any():
        raise ValueError("the latents cannot be measured: there are no training images")
    mean = total / count
    return mean, (squares / count - mean.square()).sqrt()
