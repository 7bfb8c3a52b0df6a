"""One metric over disjoint blocks of images: its value over all, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from eval.measure.plan import Entry
from eval.metric.frechet import FrechetDistance
from eval.metric.metric import Metric
from eval.metric.rows import RowsMetric
from eval.moments import FeatureStatistics
from eval.result.uncertainty import BLOCKS, Estimate, block_bounds, jackknife, unknown
from eval.source.batch import Images, as_batch


class Blocks:
    """Feeds images to a metric block by block, in the order of their indices.

    Block r holds the images of consecutive indices, and so of the same seeds in every model: blocks
    of two models are paired. A metric of sums is kept once a block and pooled by ``merge_state``;
    one that needs every feature keeps them once. Metrics are given ``label`` (B,) beside the
    features, where images have one.

    Args:
        make: a fresh metric.
        num_images: how many images are measured; further ones are left out.
        blocks: R; a block has two images at least, else there is one block and no interval.
    """

    def __init__(self, make: Callable[[], Metric], num_images: int, blocks: int = BLOCKS) -> None:
        self.make = make
        self.bounds = block_bounds(num_images, blocks if num_images >= 2 * blocks else 1)
        first = make()
        self._rows = first if isinstance(first, RowsMetric) else None
        self._parts = [] if self._rows is not None else [make() for _ in self.bounds]
        self._seen = 0

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds a batch, each row to its own block."""
        count = min(len(images.images), self.bounds[-1][1] - self._seen)
        if images.labels is not None:
            features = {**features, "label": images.labels}
        if self._rows is not None:
            rows = {name: values[:count] for name, values in features.items()}
            self._rows.update(rows, as_batch(images.rows(0, count)))
        else:
            for part, (first, last) in zip(self._parts, self.bounds, strict=True):
                low, high = max(first - self._seen, 0), min(last - self._seen, count)
                if low < high:
                    rows = {name: values[low:high] for name, values in features.items()}
                    part.update(rows, as_batch(images.rows(low, high)))
        self._seen += count

    def estimates(self) -> dict[str, Estimate]:
        """Each of the metric's numbers with its interval, which is infinite for a single block.

        Raises:
            ValueError: images are missing.
        """
        if self._seen != self.bounds[-1][1]:
            raise ValueError(f"{self._seen} images where {self.bounds[-1][1]} were announced")
        own_error = 0.0
        if self._rows is not None:
            if len(self.bounds) == 1:
                return {name: unknown(value) for name, value in self._rows.compute().items()}
            whole, without = self._rows.leave_out(self._rows.features, self.bounds)
            own_error = self._rows.own_error
        else:
            whole = self._pooled(self._parts)
            if len(self._parts) == 1:
                return {name: unknown(value) for name, value in whole.items()}
            without = [
                self._pooled([*self._parts[:r], *self._parts[r + 1 :]])
                for r in range(len(self._parts))
            ]
        return {
            name: jackknife(value, [one[name] for one in without]).widened(own_error)
            for name, value in whole.items()
        }

    def _pooled(self, parts: Sequence[Metric]) -> dict[str, float]:
        pooled = self.make()
        if pooled.averaged:
            found = [part.compute() for part in parts]
            return {name: sum(one[name] for one in found) / len(found) for name in found[0]}
        for part in parts:
            pooled.merge_state(part)
        return pooled.compute()


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


def feed(
    extractor: str,
    features: dict[str, Tensor],
    batch: Images,
    sets: Mapping[tuple[str, int], FidSets | Blocks],
    further: Mapping[Entry, Blocks],
) -> None:
    """Updates what belongs to this extractor.

    Args:
        extractor: its name.
        features: of the batch.
        batch: the images that they were made of.
        sets: (extractor's name, set size) to FID.
        further: the metrics of the line-up.
    """
    for entry, blocks in further.items():
        if entry.extractor.name == extractor:
            blocks.update(features, batch)
    for (name, _), metric in sets.items():
        if name == extractor:
            metric.update(features, batch)
