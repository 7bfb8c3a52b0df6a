"""The objectives: which terms a training step sums, and with which weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from zoo.diffusion.variance import LearnedVariance, Variance
from zoo.part import Part
from zoo.records import Noised

if TYPE_CHECKING:
    from zoo.diffusion.gaussian import GaussianDiffusion


class Objective(Protocol):
    """Terms (B,) of a training step, "loss" among them."""

    def check(self, variance: Variance) -> None:
        """Raises ValueError where this objective cannot train this variance."""

    def __call__(
        self, diffusion: GaussianDiffusion, noised: Noised, output: Tensor
    ) -> dict[str, Tensor]: ...


class Simple(Part):
    """L_simple: the mean squared error (DDPM, eq. 14)."""

    def __init__(self) -> None:
        pass

    def check(self, variance: Variance) -> None:
        if isinstance(variance, LearnedVariance):
            raise ValueError(
                "L_simple gives a learned variance no gradient: "
                "use the Hybrid or Vlb objective, or a FixedVariance"
            )

    def __call__(
        self, diffusion: GaussianDiffusion, noised: Noised, output: Tensor
    ) -> dict[str, Tensor]:
        return {"loss": diffusion.mse(noised, output)}


class Hybrid(Part):
    """L_hybrid = L_simple + weight T L_t: the bound trains the variance (Improved DDPM, eq. 16).

    Args:
        vlb_weight: the paper's lambda, 0.001; the term is an estimate of the whole bound, in bits
            per dimension.
    """

    def __init__(self, vlb_weight: float = 0.001) -> None:
        self.vlb_weight = vlb_weight

    def check(self, variance: Variance) -> None:
        _needs_learned(variance, "L_hybrid")

    def __call__(
        self, diffusion: GaussianDiffusion, noised: Noised, output: Tensor
    ) -> dict[str, Tensor]:
        mse = diffusion.mse(noised, output)
        mean, variance = output.chunk(2, dim=1)
        # Detached: the gradient of the bound must not reach the mean.
        vlb = diffusion.vlb(noised, torch.cat([mean.detach(), variance], dim=1))
        scale = self.vlb_weight * diffusion.schedule.end
        return {"loss": mse + scale * vlb, "mse": mse, "vlb": vlb}


class Vlb(Part):
    """L_vlb: T times the bound's term at t, an unbiased estimate of the bound in bits/dim."""

    def __init__(self) -> None:
        pass

    def check(self, variance: Variance) -> None:
        """Any variance has a bound."""

    def __call__(
        self, diffusion: GaussianDiffusion, noised: Noised, output: Tensor
    ) -> dict[str, Tensor]:
        vlb = diffusion.vlb(noised, output)
        return {
            "loss": diffusion.schedule.end * vlb,
            "mse": diffusion.mse(noised, output),
            "vlb": vlb,
        }


def _needs_learned(variance: Variance, name: str) -> None:
    if not isinstance(variance, LearnedVariance):
        raise ValueError(
            f"{name} trains a learned variance, got {type(variance).__name__}: "
            "use diffusion.variance=LearnedVariance and twice the output channels, or L_simple"
        )
