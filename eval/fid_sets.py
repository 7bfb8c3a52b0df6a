"""FID of several disjoint sets of one size."""

from __future__ import annotations

from torch import Tensor

from eval.feature_statistics import FeatureStatistics
from eval.images import Images, as_batch
from eval.metric import FrechetDistance


class FidSets:
    """The Fréchet distances of disjoint sets of one size, from one pass over many images.

    Set k holds images k size to (k + 1) size; images beyond the last whole set are left out.

    Args:
        reference: the statistics to compare with.
        extractor: the extractor's name.
        size: images per set.
        num_images: how many images will come.
    """

    def __init__(
        self, reference: FeatureStatistics, extractor: str, size: int, num_images: int
    ) -> None:
        self.size = size
        self.sets = [FrechetDistance(reference, extractor) for _ in range(num_images // size)]
        self._seen = 0

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds a batch's features, each row to its own set."""
        count, row = len(images.images), 0
        while row < count:
            index, filled = divmod(self._seen, self.size)
            rows = min(count - row, self.size - filled)
            if index < len(self.sets):
                part = {name: values[row : row + rows] for name, values in features.items()}
                self.sets[index].update(part, as_batch(images.rows(row, row + rows)))
            row += rows
            self._seen += rows

    def compute(self) -> list[float]:
        """Each set's distance."""
        return [next(iter(metric.compute().values())) for metric in self.sets]
