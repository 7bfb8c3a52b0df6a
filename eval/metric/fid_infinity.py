"""FID at an unlimited number of images, extrapolated (arXiv:1911.07023)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from eval.feature_statistics import FeatureStatistics
from eval.metric.frechet import frechet_distance


class Extrapolation(NamedTuple):
    """A line through FID over 1/N.

    Attributes:
        value: where it meets 1/N = 0.
        slope: per 1/N: how much this count's bias is.
        counts: the numbers of images it was fitted at.
        distances: FID at each.
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
    extrapolated: the reference stays as it is.

    Args:
        features: generated, (N, D).
        reference: statistics of the reference.
        points: how many counts.
        seed: of the subsets.

    Raises:
        ValueError: fewer than two points, or the smallest subset has fewer than twice as many
            images as dimensions: FID is then not linear in 1/N.
    """
    if points < 2:
        raise ValueError(f"a line needs at least 2 points, got {points}")
    smallest = max(len(features) // 10, 2 * reference.dimensions)
    if smallest >= len(features):
        raise ValueError(
            f"FID-infinity is not estimable from {len(features)} images: its smallest subset needs "
            f"{2 * reference.dimensions}, twice the feature's dimensions"
        )
    counts = np.linspace(smallest, len(features), points).round().astype(int)
    random, distances = np.random.RandomState(seed), []
    for count in counts:
        rows = torch.from_numpy(np.sort(random.permutation(len(features))[:count]))
        distances.append(frechet_distance(FeatureStatistics(features[rows]), reference))
    slope, value = np.polyfit(1 / counts, distances, 1)
    return Extrapolation(float(value), float(slope), tuple(counts.tolist()), tuple(distances))
