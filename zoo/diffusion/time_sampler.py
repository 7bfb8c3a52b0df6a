"""Which time each example of a training step looks at."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class TimeSampler(Protocol):
    """Turns uniform numbers into times and their importance weights."""

    def sample(self, uniform: Tensor, end: float) -> tuple[Tensor, Tensor]:
        """uniform: (B,) float64 in [0, 1). Returns t (B,) float64 in 1..end and weights (B,)."""

    def update(self, t: Tensor, loss: Tensor) -> None:
        """Learns from the losses (B,) seen at t (B,)."""


class Uniform:
    """Every integer time is equally likely."""

    def sample(self, uniform: Tensor, end: float) -> tuple[Tensor, Tensor]:
        return (uniform * end).floor() + 1, torch.ones_like(uniform)

    def update(self, t: Tensor, loss: Tensor) -> None:
        """Nothing to learn."""


class Stratified:
    """One time in each of B equal strata, so a batch covers all noise levels evenly.

    Stratum ``j`` goes to example ``j``, hence the draw depends on the position in the batch.
    """

    def sample(self, uniform: Tensor, end: float) -> tuple[Tensor, Tensor]:
        strata = torch.arange(len(uniform), dtype=uniform.dtype)
        spread = (strata + uniform) / len(uniform)
        return (spread * end).floor() + 1, torch.ones_like(uniform)

    def update(self, t: Tensor, loss: Tensor) -> None:
        """Nothing to learn."""
