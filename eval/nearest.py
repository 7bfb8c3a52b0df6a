"""How far images lie from the training set: the check that a model did not learn it by heart."""

from __future__ import annotations

import torch
from torch import Tensor

PERCENTILES = (1, 5, 50, 95)
_CHUNK = 2048


def nearest_distances(images: Tensor, training: Tensor, flip: bool = False) -> Tensor:
    """Each image's distance to the nearest training image.

    The distance is the root of the mean squared difference over all pixels and channels, in steps
    of 8-bit values: 0 is a copy, 255 black against white.

    Args:
        images: (N, C, H, W) uint8.
        training: (M, C, H, W) uint8.
        flip: mirrored training images count too, as they do where training mirrors them.

    Returns:
        (N,) float64.

    Raises:
        ValueError: the images' shapes differ.

    >>> black, white = torch.zeros(1, 1, 2, 2).byte(), torch.full((1, 1, 2, 2), 255).byte()
    >>> nearest_distances(black, torch.cat([white, white // 5])).item()
    51.0
    """
    if images.shape[1:] != training.shape[1:]:
        raise ValueError(
            f"distances between images of one shape: got {tuple(images.shape[1:])} and "
            f"{tuple(training.shape[1:])}"
        )
    best = torch.full((len(images),), torch.inf, dtype=torch.float64)
    for start in range(0, len(training), _CHUNK):
        chunk = training[start : start + _CHUNK]
        for variant in (chunk, chunk.flip(-1)) if flip else (chunk,):
            known = variant.flatten(1).double()
            squares = known.square().sum(1)
            for first in range(0, len(images), _CHUNK):
                rows = images[first : first + _CHUNK].flatten(1).double()
                # integers below 2^53, so that the difference of large sums is exact: a copy is 0
                distances = torch.addmm(squares[None, :], rows, known.T, alpha=-2)
                nearest = distances.min(dim=1).values + rows.square().sum(1)
                part = best[first : first + _CHUNK]
                torch.minimum(part, nearest, out=part)
    return (best / images[0].numel()).sqrt()


def percentiles(distances: Tensor, prefix: str = "") -> dict[str, float]:
    """The distances' percentiles by name, "p50" the median.

    >>> percentiles(torch.arange(101.0))["p95"]
    95.0
    """
    quantiles = torch.tensor([p / 100 for p in PERCENTILES], dtype=distances.dtype)
    found = torch.quantile(distances, quantiles)
    return {f"{prefix}p{p}": float(value) for p, value in zip(PERCENTILES, found, strict=True)}
