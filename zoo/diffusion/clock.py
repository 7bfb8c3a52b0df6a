"""The network's own time: what the reference's network reads for a level."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.part import Part
from zoo.records import Level, N

Clock = Callable[[Level], float | Tensor]
"""A level to the network's own time."""


class DiscreteClock(Part):
    """``(t - 1) * scale``: step numbers from 0, as the papers' networks were trained with.

    Args:
        scale: 1000 / T for networks with rescaled time steps, else 1.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, level: Level[N]) -> N:
        return (level.t - 1.0) * self.scale


def times(clock: Clock, level: Level, x: Tensor) -> Tensor:
    """The network's time of each row of x: (B,) float32 on x's device."""
    time = clock(level)
    if isinstance(time, Tensor):
        return time.to(x.device, torch.float32)
    return x.new_full((x.shape[0],), time, dtype=torch.float32)
