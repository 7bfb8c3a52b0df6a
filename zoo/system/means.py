"""Means of numbers over the images of several batches and of all processes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from zoo.system.processes import total


class Means:
    """Sums of numbers by name, each weighted by its number of images, in float64."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, int]] = {}  # and the numbers of images

    def add(self, means: Mapping[str, Tensor], count: int) -> None:
        """Adds means over ``count`` images; over none they may be anything."""
        for name, mean in means.items():
            mean = mean.detach().double()
            self._add(name, mean * count if count else torch.zeros_like(mean), count)

    def join(self, other: Means) -> None:
        """Adds what another has."""
        for name, (value, count) in other._sums.items():
            self._add(name, value, count)

    def of_all_processes(self) -> dict[str, float]:
        """The means by name; every process calls it, and has added the same names."""
        if not self._sums:
            return {}
        values = torch.stack([value for value, _ in self._sums.values()])
        counts = values.new_tensor([count for _, count in self._sums.values()])
        sums = total(torch.stack([values, counts]))
        return dict(zip(self._sums, (sums[0] / sums[1]).tolist(), strict=True))

    def clear(self) -> None:
        """Forgets everything."""
        self._sums.clear()

    def _add(self, name: str, value: Tensor, count: int) -> None:
        before, counted = self._sums.get(name, (0.0, 0))
        self._sums[name] = value + before, count + counted
