"""Gaussian diffusion: pure maths, with no network, no randomness and no device of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.diffusion.likelihood import NATS_PER_BIT, discretized_gaussian_nll, gaussian_kl, mean_flat
from zoo.diffusion.objective import Objective, Simple
from zoo.diffusion.parameterization import Epsilon, Parameterization
from zoo.diffusion.posterior import log_variance, posterior, variance_floor
from zoo.diffusion.variance import FixedVariance, Variance
from zoo.part import Part
from zoo.records import Level, Noised, Prediction
from zoo.schedule import NoiseSchedule


class GaussianDiffusion(Part):
    """A schedule, a parameterization, a variance and an objective.

    Args:
        schedule: the noise levels over time.
        parameterization: what the network's output means.
        variance: the reverse variance, fixed or learned.
        objective: which terms are summed into the loss.

    Raises:
        ValueError: the schedule ends in pure noise, where the parameterization cannot be read, or
            the objective cannot train the variance.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        parameterization: Parameterization | None = None,
        variance: Variance | None = None,
        objective: Objective | None = None,
    ) -> None:
        self.schedule = schedule
        self.parameterization = parameterization or Epsilon()
        self.variance = variance or FixedVariance()
        self.objective = objective or Simple()
        self.floor = variance_floor(schedule.levels(range(int(min(schedule.end, 2)), -1, -1)))
        _check_reading(schedule, self.parameterization)
        self.objective.check(self.variance)

    def noise(self, x0: Tensor, t: Tensor, noise: Tensor) -> Noised:
        """x = alpha x0 + sigma noise at times t (B,) (DDPM, eq. 4)."""
        level = self.schedule(t)
        x = per_image(level.alpha, x0) * x0 + per_image(level.sigma, x0) * noise
        return Noised(x, level, x0, noise)

    def predict(self, output: Tensor, x: Tensor, level: Level) -> Prediction:
        """Reads the network's output (B, C or 2C, H, W) at a level; x0 is not clipped."""
        prediction, fraction = self.variance.split(output)
        c_x, c_out = self.parameterization.reading(level.alpha, level.sigma)
        if isinstance(c_x, float) and isinstance(c_out, float):
            x0 = (x * c_x).add_(prediction, alpha=c_out)
        else:
            c_x, c_out = per_image(c_x, x), per_image(c_out, x)
            x0 = c_x * x + c_out * prediction
        return Prediction(x0, fraction, reading=(c_x, c_out))

    def losses(self, noised: Noised, output: Tensor) -> dict[str, Tensor]:
        """Every term (B,), "loss" among them, in float32."""
        return self.objective(self, noised, output.float())

    def error(self, noised: Noised, output: Tensor) -> Tensor:
        """The predicting part of the output less its target, (B, C, H, W)."""
        prediction, _ = self.variance.split(output)
        alpha, sigma = (per_image(v, noised.x) for v in (noised.level.alpha, noised.level.sigma))
        return prediction - self.parameterization.target(noised.x0, noised.noise, alpha, sigma)

    def mse(self, noised: Noised, output: Tensor) -> Tensor:
        """The mean squared error of the output against its target: L_simple, (B,)."""
        return mean_flat(self.error(noised, output) ** 2)

    def vlb(self, noised: Noised, output: Tensor) -> Tensor:
        """The bound's term at the examples' integer times, bits per dimension, (B,)."""
        prediction = self.predict(output, noised.x, noised.level)
        to = self.schedule((noised.level.t - 1).clamp(min=0))
        return self.vlb_term(noised.x0, prediction, noised.level, to, self.floor)

    def vlb_term(
        self, x0: Tensor, prediction: Prediction, now: Level, to: Level, floor: float
    ) -> Tensor:
        """One term of the bound, bits per dimension, (B,) (DDPM, eq. 5).

        The divergence of the true from the predicted step ``now`` to ``to``; where ``to`` is
        clean, the negative log-likelihood of 8-bit x0 under the discretized Gaussian.

        Args:
            x0: the data in [-1, 1], (B, C, H, W).
            prediction: at ``now``.
            now: the noisier level; floats or (B,) tensors.
            to: the less noisy level, of the same kind.
            floor: the chain's ``variance_floor``.
        """
        c_x0, beta, small, sigma = (per_image(v, x0) for v in (*posterior(now, to)[1:], to.sigma))
        floor_ = torch.as_tensor(floor, dtype=beta.dtype, device=beta.device)
        fraction = prediction.variance_fraction
        predicted = log_variance(fraction, beta, small, floor_)
        true = torch.where(small > 0, small, floor_).log()
        # x enters both means alike, so only x0 is compared: no cancellation.
        kl = gaussian_kl(c_x0 * x0, true, c_x0 * prediction.x0, predicted)
        nll = discretized_gaussian_nll(x0, prediction.x0, predicted.to(x0.dtype))
        return mean_flat(torch.where(sigma > 0, kl, nll).to(x0.dtype)) / NATS_PER_BIT

    def prior_term(self, x0: Tensor, first: Level) -> Tensor:
        """KL(q(x_T | x0) || N(0, 1)), bits per dimension, (B,)."""
        log_var = 2 * torch.as_tensor(first.sigma, dtype=torch.float64).log()
        kl = gaussian_kl(first.alpha * x0.double(), log_var, 0.0, torch.zeros(()))
        return mean_flat(kl).to(x0.dtype) / NATS_PER_BIT


def _check_reading(schedule: NoiseSchedule, parameterization: Parameterization) -> None:
    last = schedule(schedule.end)
    with np.errstate(divide="ignore"):
        reading = parameterization.reading(np.float64(last.alpha), np.float64(last.sigma))
    if not np.isfinite(reading).all():
        raise ValueError(
            f"{type(parameterization).__name__} cannot be read where {type(schedule).__name__} "
            "ends in pure noise (zero terminal SNR): use parameterization=velocity or "
            "parameterization=x0 (the Velocity and X0 classes)"
        )


def per_image(value: float | Tensor, like: Tensor) -> Tensor:
    """A float or (B,) tensor as a tensor that broadcasts over ``like``, in its dtype and device."""
    # as_tensor would make a Python float a float32 before it could become a float64.
    tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    tensor = tensor.to(like.device, like.dtype)
    return tensor.reshape(-1, *[1] * (like.ndim - 1)) if tensor.ndim else tensor
