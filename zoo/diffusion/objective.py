"""The objectives: which terms a training step sums, and with which weights."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from zoo.diffusion.likelihood import mean_flat
from zoo.diffusion.parameterization import Parameterization
from zoo.diffusion.variance import LearnedVariance, Variance
from zoo.part import Part
from zoo.records import Level, Noised
from zoo.schedule import NoiseSchedule


class Terms(Protocol):
    """The ingredients of an objective: ``GaussianDiffusion``, as far as a loss reads it."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise levels over time."""

    @property
    def parameterization(self) -> Parameterization:
        """The meaning of the network's output."""

    def error(self, noised: Noised, output: Tensor) -> Tensor:
        """The predicting part of the output less its target, (B, C, H, W)."""

    def mse(self, noised: Noised, output: Tensor) -> Tensor:
        """The mean squared error of the output against its target, (B,)."""

    def vlb(self, noised: Noised, output: Tensor) -> Tensor:
        """The bound's term at the examples' times, bits per dimension, (B,)."""


class Objective(Protocol):
    """Terms (B,) of a training step, "loss" among them."""

    def check(self, variance: Variance) -> None:
        """Raises ValueError where this objective cannot train this variance."""

    def __call__(self, diffusion: Terms, noised: Noised, output: Tensor) -> dict[str, Tensor]: ...


class Simple(Part):
    """L_simple: the mean squared error (DDPM, eq. 14)."""

    def check(self, variance: Variance) -> None:
        _needs_fixed(variance, "L_simple")

    def __call__(self, diffusion: Terms, noised: Noised, output: Tensor) -> dict[str, Tensor]:
        return {"loss": diffusion.mse(noised, output)}


class SimpleL1(Simple):
    """L_simple with the absolute in place of the squared error (latent diffusion's churches)."""

    def __call__(self, diffusion: Terms, noised: Noised, output: Tensor) -> dict[str, Tensor]:
        return {"loss": mean_flat(diffusion.error(noised, output).abs())}


class MinSNR(Part):
    """The squared error of x0 weighted by min(SNR, gamma) (arXiv:2303.09556, section 3.4).

    An output's error is that of x0 over c_out, the reading's factor, so the weight of its mean
    squared error is min(SNR, gamma) c_out^2: min(1, gamma / SNR) for noise, min(SNR, gamma) for x0,
    min(SNR, gamma) / (SNR + 1) for v, which is 0 where a schedule ends in pure noise.

    Args:
        gamma: the largest weight of an error of x0; the paper's is 5.

    Raises:
        ValueError: gamma is not positive.
    """

    def __init__(self, gamma: float = 5.0) -> None:
        if gamma <= 0:
            raise ValueError(f"min-SNR's gamma must be positive (the paper's is 5), got {gamma}")
        self.gamma = gamma

    def check(self, variance: Variance) -> None:
        _needs_fixed(variance, "min-SNR weighting")

    def weight(self, diffusion: Terms, level: Level) -> Tensor:
        """The weight of the output's mean squared error at a level: (B,) float64."""
        _, c_out = diffusion.parameterization.reading(level.alpha, level.sigma)
        return level.log_snr.exp().clamp(max=self.gamma) * c_out**2

    def __call__(self, diffusion: Terms, noised: Noised, output: Tensor) -> dict[str, Tensor]:
        mse = diffusion.mse(noised, output)
        return {"loss": self.weight(diffusion, noised.level).to(mse) * mse, "mse": mse}


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

    def __call__(self, diffusion: Terms, noised: Noised, output: Tensor) -> dict[str, Tensor]:
        mse = diffusion.mse(noised, output)
        mean, variance = output.chunk(2, dim=1)
        # Detached: the gradient of the bound must not reach the mean.
        vlb = diffusion.vlb(noised, torch.cat([mean.detach(), variance], dim=1))
        scale = self.vlb_weight * diffusion.schedule.end
        return {"loss": mse + scale * vlb, "mse": mse, "vlb": vlb}


class Vlb(Part):
    """L_vlb: T times the bound's term at t, an unbiased estimate of the bound in bits/dim."""

    def check(self, variance: Variance) -> None:
        """Any variance has a bound."""

    def __call__(self, diffusion: Terms, noised: Noised, output: Tensor) -> dict[str, Tensor]:
        vlb = diffusion.vlb(noised, output)
        return {
            "loss": diffusion.schedule.end * vlb,
            "mse": diffusion.mse(noised, output),
            "vlb": vlb,
        }


def _needs_fixed(variance: Variance, name: str) -> None:
    if isinstance(variance, LearnedVariance):
        raise ValueError(
            f"{name} gives a learned variance no gradient: "
            "use the Hybrid or Vlb objective, or a FixedVariance"
        )


def _needs_learned(variance: Variance, name: str) -> None:
    if not isinstance(variance, LearnedVariance):
        raise ValueError(
            f"{name} trains a learned variance, got {type(variance).__name__}: "
            "use diffusion.variance=LearnedVariance and twice the output channels, or L_simple"
        )
