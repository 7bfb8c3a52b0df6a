"""The network's own time: what the reference's network is given for a level."""

from __future__ import annotations

from typing import Any

from zoo.part import Part
from zoo.records import Level


class DiscreteClock(Part):
    """``(t - 1) * scale``: step numbers from 0, as the papers' networks were trained with.

    Args:
        scale: 1000 / T for networks with rescaled time steps, else 1.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, level: Level) -> Any:
        return (level.t - 1.0) * self.scale
