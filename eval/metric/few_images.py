"""KID and FID of as few images as fit into a training, each with its interval."""

from __future__ import annotations

from torch import Tensor

from eval.metric.frechet import frechet_distance
from eval.metric.kernel import AllPairs
from eval.metric.rows import check_pair, without_blocks
from eval.moments.feature_statistics import FeatureStatistics
from eval.result.uncertainty import BLOCKS, Estimate, block_bounds, jackknife, without_interval


class FewImagesReference:
    """A reference for repeated comparisons with sets of few images.

    Args:
        features: of the reference, (M, D) with M at least 2.

    Raises:
        ValueError: there are fewer than two features.

    Attributes:
        features: of the reference.
        statistics: their moments, for the Fréchet distance.
    """

    def __init__(self, features: Tensor) -> None:
        if len(features) < 2:
            raise ValueError(f"a reference has at least 2 images, got {len(features)}")
        self.features = features
        self.statistics = FeatureStatistics(features)
        self._all_pairs = AllPairs(features)

    def kid(self, features: Tensor) -> Estimate:
        """KID over all pairs (arXiv:1801.01401, eq. 4), without the randomness of subsets.

        Args:
            features: of the images, (N, D) with N at least 2.

        Raises:
            ValueError: the dimensions differ, a feature is not finite, or there are fewer than two.
        """
        blocks = _blocks(features, self.features)
        whole, without = self._all_pairs.of(features, blocks)
        return without_interval(whole) if len(blocks) == 1 else jackknife(whole, without)

    def fid(self, features: Tensor) -> Estimate:
        """FID at this count: biased upward, more so for fewer images, and never corrected.

        Args:
            features: of the images, (N, D) with N at least 2.

        Raises:
            ValueError: the dimensions differ, a feature is not finite, or there are fewer than two.
        """
        blocks = _blocks(features, self.features)
        whole = self._distance(features)
        if len(blocks) == 1:
            return without_interval(whole)
        return jackknife(whole, [self._distance(r) for r in without_blocks(features, blocks)])

    def _distance(self, features: Tensor) -> float:
        return frechet_distance(FeatureStatistics(features), self.statistics)


def _blocks(features: Tensor, reference: Tensor) -> list[tuple[int, int]]:
    """Ten blocks for the jackknife, or one where blocks would have a single image."""
    check_pair(features, reference)
    if len(features) < 2:
        raise ValueError(f"KID and FID need at least 2 images, got {len(features)}")
    return block_bounds(len(features), BLOCKS if len(features) >= 2 * BLOCKS else 1)
