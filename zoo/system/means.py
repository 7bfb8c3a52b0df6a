"""Means of numbers over the images of several batches and of all processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from zoo.system.processes import total


class Means:
    """Sums of numbers by name, each weighted by its number of images, in float64.

    Args:
        numbers: a sum and a number of images by name, to begin with.
    """

    def __init__(self, numbers: Mapping[str, Sequence[float]] | None = None) -> None:
        self._sums: dict[str, tuple[Tensor, int]] = {}  # and the numbers of images
        for name, (value, count) in (numbers or {}).items():
            self._sums[name] = torch.tensor(value, dtype=torch.float64), int(count)

    def numbers(self) -> dict[str, list[float]]:
        """The sums of this process, for others to begin with."""
        return {name: [value.item(), count] for name, (value, count) in self._sums.items()}

    def move(self, device: torch.device) -> None:
        """Moves the sums to where numbers will be added to them."""
        self._sums = {name: (v.to(device), count) for name, (v, count) in self._sums.items()}

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
