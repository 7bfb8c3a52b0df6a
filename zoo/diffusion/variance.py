"""The reverse variance: fixed, or learned as an interpolation (Improved DDPM, section 3.1)."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from zoo.part import Part


class Variance(Protocol):
    """The output channels per data channel, and the variance fraction that they hold."""

    channels_factor: int

    def split(self, output: Tensor) -> tuple[Tensor, Tensor | float]:
        """The part of the output that predicts, and the variance fraction in [0, 1]."""


class FixedVariance(Part):
    """The same fraction everywhere.

    Args:
        fraction: 0 for the posterior variance ("fixedsmall"), 1 for beta ("fixedlarge").
    """

    channels_factor = 1

    def __init__(self, fraction: float = 0.0) -> None:
        if not 0 <= fraction <= 1:
            raise ValueError(
                f"the variance fraction must lie in [0, 1] (0 is the posterior variance, 1 beta), "
                f"got {fraction}"
            )
        self.fraction = float(fraction)

    def split(self, output: Tensor) -> tuple[Tensor, float]:
        return output, self.fraction


class LearnedVariance(Part):
    """The second half of the output's channels, in [-1, 1], is 2 fraction - 1."""

    channels_factor = 2

    def split(self, output: Tensor) -> tuple[Tensor, Tensor]:
        prediction, raw = output.chunk(2, dim=1)
        return prediction, (raw + 1) / 2
