"""One metric over the images of a pass: in blocks for an interval, or in several disjoint sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

from torch import Tensor

from eval.metric.metric import Metric
from eval.metric.rows import RowsMetric
from eval.result.uncertainty import BLOCKS, Estimate, block_bounds, jackknife, without_interval
from eval.source.batch import Images


class Tally(Protocol):
    """Turns images and their features into numbers."""

    @property
    def metric(self) -> Metric:
        """A metric of all the number's images, or of those of the first set."""

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds a batch."""

    def estimates(self) -> dict[str, Estimate]:
        """Each of the metric's numbers, with its interval where it has one."""

    def numbers(self) -> dict[str, float]:
        """Each of the metric's numbers without its interval, which costs less."""


class Blocks:
    """Feeds images to a metric block by block, in the order of their indices.

    Block r holds the images of consecutive indices, and so of the same seeds in every model: blocks
    of two models are paired. A metric of sums has an instance for each block, pooled by
    ``merge_state``; one that needs every feature has a single instance.

    Args:
        make: makes an empty metric.
        num_images: the number of images measured; further ones are ignored.
        blocks: R; with fewer than two images in a block there is one block and no interval.
    """

    def __init__(self, make: Callable[[], Metric], num_images: int, blocks: int = BLOCKS) -> None:
        self.make = make
        self.bounds = block_bounds(num_images, blocks if num_images >= 2 * blocks else 1)
        first = make()
        self._rows = first if isinstance(first, RowsMetric) else None
        self._parts = [] if self._rows is not None else [make() for _ in self.bounds]
        self._count = 0

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds a batch, each row to its own block."""
        count = min(len(images.images), self.bounds[-1][1] - self._count)
        whole = [(self._rows, (0, self.bounds[-1][1]))] if self._rows is not None else None
        for part, (first, last) in whole or zip(self._parts, self.bounds, strict=True):
            low, high = max(first - self._count, 0), min(last - self._count, count)
            if low < high:
                _feed(part, features, images, low, high)
        self._count += count

    @cached_property
    def metric(self) -> Metric:
        """A metric of all images."""
        return self._rows if self._rows is not None else self._pooled(self._parts)

    def numbers(self) -> dict[str, float]:
        """Each of the metric's numbers alone.

        Raises:
            ValueError: images are missing.
        """
        self._check()
        if self._rows is None and self.metric.averaged:
            return self._mean(self._parts)
        return self.metric.compute()

    def estimates(self) -> dict[str, Estimate]:
        """Each of the metric's numbers with its interval, which is infinite for a single block.

        Raises:
            ValueError: images are missing.
        """
        self._check()
        if len(self.bounds) == 1:
            return {name: without_interval(value) for name, value in self.numbers().items()}
        own_error = 0.0
        if self._rows is not None:
            whole, without = self._rows.leave_out(self._rows.features, self.bounds)
            own_error = self._rows.own_error
        else:
            whole, cheaper = self.numbers(), self.metric.without_each(self._parts)
            without = cheaper or [self._without(r) for r in range(len(self._parts))]
        return {
            name: jackknife(value, [numbers[name] for numbers in without]).plus_error(own_error)
            for name, value in whole.items()
        }

    def _without(self, block: int) -> dict[str, float]:
        rest = [*self._parts[:block], *self._parts[block + 1 :]]
        return self._mean(rest) if rest[0].averaged else self._pooled(rest).compute()

    def _mean(self, parts: Sequence[Metric]) -> dict[str, float]:
        numbers = [part.compute() for part in parts]
        return {name: sum(each[name] for each in numbers) / len(numbers) for name in numbers[0]}

    def _pooled(self, parts: Sequence[Metric]) -> Metric:
        pooled = self.make()
        for part in parts:
            pooled.merge_state(part)
        return pooled

    def _check(self) -> None:
        if self._count != self.bounds[-1][1]:
            raise ValueError(f"{self._count} images where {self.bounds[-1][1]} were announced")


class Sets:
    """One metric of each of several disjoint sets of one size, from one pass over many images.

    Set k holds images k size to (k + 1) size; images beyond the last whole set are ignored.
    """

    def __init__(self, make: Callable[[], Metric], size: int, num_images: int) -> None:
        self.size = size
        self.sets = [make() for _ in range(num_images // size)]
        self._count = 0

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds a batch, each row to its own set."""
        count, row = len(images.images), 0
        while row < count:
            index, filled = divmod(self._count, self.size)
            rows = min(count - row, self.size - filled)
            if index < len(self.sets):
                _feed(self.sets[index], features, images, row, row + rows)
            row += rows
            self._count += rows

    @property
    def metric(self) -> Metric:
        """The first set's metric."""
        return self.sets[0]

    def numbers(self) -> dict[str, float]:
        """The mean over the sets of each of the metric's numbers."""
        return {name: estimate.value for name, estimate in self.estimates().items()}

    def estimates(self) -> dict[str, Estimate]:
        """The mean over the sets, with each set's number; few sets give no useful interval."""
        numbers = [metric.compute() for metric in self.sets]
        each = {name: tuple(number[name] for number in numbers) for name in numbers[0]}
        return {
            name: without_interval(sum(values) / len(values), values if len(values) > 1 else ())
            for name, values in each.items()
        }


def tally(make: Callable[[], Metric], kind: type[Metric], size: int, num_images: int) -> Tally:
    """Several sets where the metric depends on the count and there are images for them, or blocks.

    ``size`` is the number of images behind one number, ``num_images`` that of the pass.
    """
    if kind.per_count and num_images // size > 1:
        return Sets(make, size, num_images)
    return Blocks(make, size, BLOCKS if kind.has_interval else 1)


def _feed(
    metric: Metric, features: dict[str, Tensor], images: Images, first: int, last: int
) -> None:
    if (first, last) == (0, len(images.images)):
        metric.update(features, images)
        return
    rows = {name: values[first:last] for name, values in features.items()}
    metric.update(rows, images.rows(first, last))
