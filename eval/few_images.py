"""KID and FID of as few images as a training can afford on its way, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from eval.feature_statistics import FeatureStatistics
from eval.metric.frechet import frechet_distance
from eval.metric.rows import check_pair
from eval.uncertainty import BLOCKS, Estimate, block_bounds, jackknife, unknown

_CHUNK = 2048  # rows of a kernel matrix at once


class Few:
    """A reference that sets of few images are compared with, again and again.

    Args:
        features: of the reference, (M, D) with M at least 2.

    Raises:
        ValueError: fewer features than two.

    Attributes:
        features: as given.
        statistics: their moments, for the Fréchet distance.
    """

    def __init__(self, features: Tensor) -> None:
        if len(features) < 2:
            raise ValueError(f"a reference has at least 2 images, got {len(features)}")
        self.features = features
        self.statistics = FeatureStatistics(features)
        own = sum(cubic_sum(rows, features) for rows in features.split(_CHUNK))
        own -= _with_themselves(features)
        self._own = own / (len(features) * (len(features) - 1))

    def kid(self, features: Tensor) -> Estimate:
        """KID over all pairs (arXiv:1801.01401, eq. 4): no subsets, and so none of their chance.

        Args:
            features: of the images, (N, D) with N at least 2.

        Raises:
            ValueError: the dimensions differ, a feature is not finite, or there are fewer than two.
        """
        blocks = _blocks(features, self.features)
        parts = [features[first:last] for first, last in blocks]
        own = torch.tensor([[cubic_sum(x, y) for y in parts] for x in parts], dtype=torch.float64)
        own -= torch.tensor([_with_themselves(part) for part in parts], dtype=torch.float64).diag()
        cross = torch.tensor(
            [cubic_sum(part, self.features) for part in parts], dtype=torch.float64
        )
        sizes = torch.tensor([len(part) for part in parts])

        def over(kept: Sequence[int]) -> float:
            count = int(sizes[kept].sum())
            within = float(own[kept][:, kept].sum()) / (count * (count - 1))
            across = float(cross[kept].sum()) / (count * len(self.features))
            return within + self._own - 2 * across

        every = list(range(len(parts)))
        if len(parts) == 1:
            return unknown(over(every))
        return jackknife(over(every), [over([j for j in every if j != i]) for i in every])

    def fid(self, features: Tensor) -> Estimate:
        """FID at this count: biased upward, the more so the fewer images, and never corrected.

        Args:
            features: of the images, (N, D) with N at least 2.

        Raises:
            ValueError: the dimensions differ, a feature is not finite, or there are fewer than two.
        """
        blocks = _blocks(features, self.features)
        whole = self._distance(features)
        if len(blocks) == 1:
            return unknown(whole)
        rest = [torch.cat([features[:first], features[last:]]) for first, last in blocks]
        return jackknife(whole, [self._distance(some) for some in rest])

    def _distance(self, features: Tensor) -> float:
        return frechet_distance(FeatureStatistics(features), self.statistics)


def cubic_sum(x: Tensor, y: Tensor) -> float:
    """The sum of ``(x . y / D + 1)^3`` over all pairs of rows of x (N, D) and y (M, D), float64."""
    x = x.double()
    return sum(
        float(((x @ some.double().T / x.shape[1] + 1) ** 3).sum()) for some in y.split(_CHUNK)
    )


def _with_themselves(x: Tensor) -> float:
    """What the pairs of a row with itself add to ``cubic_sum(x, x)``."""
    return float(((x.double().square().sum(dim=1) / x.shape[1] + 1) ** 3).sum())


def _blocks(features: Tensor, reference: Tensor) -> list[tuple[int, int]]:
    """Ten blocks for the jackknife, or one where a block would have a single image."""
    check_pair(features, reference)
    if len(features) < 2:
        raise ValueError(f"KID and FID need at least 2 images, got {len(features)}")
    return block_bounds(len(features), BLOCKS if len(features) >= 2 * BLOCKS else 1)
