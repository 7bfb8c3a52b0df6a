"""One metric over disjoint blocks of images: its value over all, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from eval.images import Images, as_batch
from eval.metric.metric import Metric
from eval.metric.rows import RowsMetric
from eval.uncertainty import BLOCKS, Estimate, block_bounds, jackknife, unknown


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
