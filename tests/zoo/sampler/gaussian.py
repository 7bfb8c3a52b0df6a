"""The one case where everything is known: Gaussian data and its optimal denoiser.

Every update of a sampler is then affine in x and the noises, so pushing a constant, the start's
unit vector and one unit vector per draw through ``steps`` gives mean and variance exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from zoo.records import Level, Prediction
from zoo.sampler import DDIM, Ancestral, DPMSolver, Heun, Sampler
from zoo.schedule import NoiseSchedule


@dataclass(frozen=True)
class Gaussian:
    """Data N(mean, std^2)."""

    mean: float = 0.3
    std: float = 0.5

    def gain(self, level: Level) -> float:
        """d E[x0 | x] / dx."""
        return level.alpha * self.std**2 / (level.alpha**2 * self.std**2 + level.sigma**2)

    def predict(self, fraction: float | Tensor = 0.0):
        def optimal(x: Tensor, level: Level) -> Prediction:
            x0 = self.mean + self.gain(level) * (x - level.alpha * self.mean)
            return Prediction(x0, fraction)

        return optimal

    def marginal(self, level: Level) -> tuple[float, float]:
        return level.alpha * self.mean, math.hypot(level.alpha * self.std, level.sigma)


class UnitDraws:
    """The k-th normal draw is the k-th unit vector (from position 2 on)."""

    def __init__(self) -> None:
        self.count = 0

    def normal(self, like: Tensor) -> Tensor:
        self.count += 1
        unit = torch.zeros_like(like)
        unit[0, self.count + 1] = 1.0
        return unit


def pushed(sampler: Sampler, schedule: NoiseSchedule, data: Gaussian, fraction: float = 0.0):
    """(mean, variance) of the sampler's output, started from the exact first marginal."""
    levels = sampler.levels(schedule)
    mean, std = data.marginal(levels[0])
    x = torch.full((1, len(levels) + 2), mean, dtype=torch.float64)
    x[0, 1] += std
    *_, x = sampler.steps(data.predict(fraction), x, levels, UnitDraws(), schedule)  # type: ignore[arg-type]
    return x[0, 0].item(), ((x[0, 1:] - x[0, 0]) ** 2).sum().item()


def recursion(sampler: Sampler, schedule: NoiseSchedule, data: Gaussian, fraction: float = 0.0):
    """(mean, variance) by the method's own scalar recursion, written apart from the samplers."""
    levels = sampler.levels(schedule)
    mean, std = data.marginal(levels[0])
    step = {Ancestral: _ancestral, DDIM: _ddim, Heun: _heun, DPMSolver: _multistep}[type(sampler)]
    return step(sampler, levels, data, mean, std**2, fraction)


def _ancestral(sampler, levels, data, mean, variance, fraction):
    pairs = list(pairwise(levels))
    for k, (now, to) in enumerate(pairs):
        alpha_bar, alpha_bar_to = now.alpha**2, to.alpha**2
        beta = 1 - alpha_bar / alpha_bar_to
        # DDPM, eq. 7
        c_x0 = math.sqrt(alpha_bar_to) * beta / (1 - alpha_bar)
        c_x = math.sqrt(1 - beta) * (1 - alpha_bar_to) / (1 - alpha_bar)
        gain = data.gain(now)
        offset = data.mean * (1 - gain * now.alpha)
        mean = (c_x + c_x0 * gain) * mean + c_x0 * offset
        variance = (c_x + c_x0 * gain) ** 2 * variance
        if k < len(pairs) - 1:
            small = beta * (1 - alpha_bar_to) / (1 - alpha_bar)
            variance += beta**fraction * small ** (1 - fraction)
    return mean, variance


def _ddim(sampler, levels, data, mean, variance, fraction):
    for now, to in pairwise(levels):
        # DDIM, eqs. 12 and 16
        a_now, a_to = now.alpha**2, to.alpha**2
        noise = sampler.eta * math.sqrt((1 - a_to) / (1 - a_now) * (1 - a_now / a_to))
        gain = data.gain(now)
        offset = data.mean * (1 - gain * now.alpha)
        direction = math.sqrt(max(1 - a_to - noise**2, 0.0))
        per_x = math.sqrt(a_to) * gain + direction * (1 - now.alpha * gain) / now.sigma
        constant = math.sqrt(a_to) * offset - direction * now.alpha * offset / now.sigma
        mean, variance = per_x * mean + constant, per_x**2 * variance + noise**2
    return mean, variance


def _heun(sampler, levels, data, mean, variance, fraction):
    std = math.sqrt(variance)
    pairs = list(pairwise(levels))
    for k, (now, to) in enumerate(pairs):
        # u = x / alpha over s = sigma / alpha: du/ds = (u - x0) / s (EDM, algorithm 1)
        s, s_to = now.sigma / now.alpha, to.sigma / to.alpha

        def slope(u, level, s_level, with_mean):
            x = u * level.alpha
            gain = data.gain(level)
            x0 = gain * x + with_mean * data.mean * (1 - gain * level.alpha)
            return (u - x0) / s_level

        moved = []
        for value, with_mean in ((mean, 1.0), (std, 0.0)):
            u = value / now.alpha
            first = slope(u, now, s, with_mean)
            new = u + (s_to - s) * first
            if k < len(pairs) - 1:
                new = u + (s_to - s) * 0.5 * (first + slope(new, to, s_to, with_mean))
            moved.append(new * to.alpha)
        mean, std = moved
    return mean, std**2


def _multistep(sampler, levels, data, mean, variance, fraction):
    values = [mean, math.sqrt(variance)]
    history: list[list[float]] = []
    half = [level.log_snr / 2 for level in levels]
    for k, (now, to) in enumerate(pairwise(levels)):
        gain = data.gain(now)
        x0 = [gain * values[0] + data.mean * (1 - gain * now.alpha), gain * values[1]]
        history.append(x0)
        h = half[k + 1] - half[k]
        use = x0
        if 0 < k < len(levels) - 2:  # DPM-Solver++, algorithm 2
            r = (half[k] - half[k - 1]) / h
            use = [
                (1 + 1 / (2 * r)) * a - b / (2 * r) for a, b in zip(x0, history[-2], strict=True)
            ]
        decay = math.exp(-h) if math.isfinite(h) else 0.0
        values = [
            to.sigma / now.sigma * v - to.alpha * (decay - 1) * d
            for v, d in zip(values, use, strict=True)
        ]
    return values[0], values[1] ** 2
