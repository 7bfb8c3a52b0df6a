"""The one case where everything is known: Gaussian data and its optimal denoiser.

Every update of a sampler is then affine in x and the noises, so pushing a constant, the start's
unit vector and one unit vector per draw through ``steps`` gives mean and variance exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from zoo.records import Level, Prediction
from zoo.sampler import (
    DDIM,
    PLMS,
    Ancestral,
    DPMSolver,
    DPMSolver3M,
    DPMSolverSDE,
    Euler,
    EulerAncestral,
    Heun,
    Sampler,
    UniPC,
)
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

    def denoised(self, x: np.ndarray, level: Level) -> np.ndarray:
        """E[x0 | x] of an affine x: its coefficients of 1 and of every unit normal."""
        gain = self.gain(level)
        x0 = gain * x
        x0[0] += self.mean * (1 - gain * level.alpha)
        return x0

    def flow(self, x: float, now: Level, to: Level) -> float:
        """The exact solution of the probability flow."""
        (mean, std), (mean_to, std_to) = self.marginal(now), self.marginal(to)
        return mean_to + (x - mean) * std_to / std

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
    """(mean, variance) by the method's own recursion, written apart from the samplers.

    x is the vector of its coefficients of 1, of the start's normal and of one normal per step, so
    a method reads as in its paper; most do in u = x / alpha over s = sigma / alpha.
    """
    levels = sampler.levels(schedule)
    mean, std = data.marginal(levels[0])
    x = np.zeros(len(levels) + 2)
    x[:2] = mean, std
    if type(sampler) is Ancestral:
        x = _ancestral(levels, data, x, fraction)
    else:
        x = _RECURSIONS[type(sampler)](sampler, levels, data, x, schedule(schedule.end))
    return x[0], (x[1:] ** 2).sum()


def _normal(x: np.ndarray, k: int) -> np.ndarray:
    return np.eye(len(x))[k + 2]


def _ancestral(levels, data, x, fraction):
    for k, (now, to) in enumerate(pairwise(levels)):
        alpha_bar, alpha_bar_to = now.alpha**2, to.alpha**2
        beta = 1 - alpha_bar / alpha_bar_to
        # DDPM, eq. 7
        c_x0 = math.sqrt(alpha_bar_to) * beta / (1 - alpha_bar)
        c_x = math.sqrt(1 - beta) * (1 - alpha_bar_to) / (1 - alpha_bar)
        x = c_x * x + c_x0 * data.denoised(x, now)
        if to.sigma > 0:
            small = beta * (1 - alpha_bar_to) / (1 - alpha_bar)
            x = x + math.sqrt(beta**fraction * small ** (1 - fraction)) * _normal(x, k)
    return x


def _ddim(sampler, levels, data, x, end):
    for k, (now, to) in enumerate(pairwise(levels)):
        # DDIM, eqs. 12 and 16
        a_now, a_to = now.alpha**2, to.alpha**2
        noise = sampler.eta * math.sqrt((1 - a_to) / (1 - a_now) * (1 - a_now / a_to))
        x0 = data.denoised(x, now)
        eps = (x - now.alpha * x0) / now.sigma
        x = math.sqrt(a_to) * x0 + math.sqrt(max(1 - a_to - noise**2, 0.0)) * eps
        x = x + noise * _normal(x, k)
    return x


def _euler(sampler, levels, data, x, end):
    # k-diffusion's Euler and Euler ancestral
    eta = 1.0 if isinstance(sampler, EulerAncestral) else 0.0
    for k, (now, to) in enumerate(pairwise(levels)):
        s, s_to = now.sigma / now.alpha, to.sigma / to.alpha
        up = min(s_to, eta * math.sqrt(s_to**2 * (s**2 - s_to**2) / s**2))
        down = math.sqrt(s_to**2 - up**2)
        u = x / now.alpha
        u = u + (u - data.denoised(x, now)) / s * (down - s) + up * _normal(x, k)
        x = u * to.alpha
    return x


def _plms(sampler, levels, data, x, end):
    # LDM's code: pseudo improved Euler, then Adams-Bashforth
    def moved(x, eps, now, to):
        x0 = (x - now.sigma * eps) / now.alpha
        return to.alpha * x0 + to.sigma * eps

    def noise(x, level):
        return (x - level.alpha * data.denoised(x, level)) / level.sigma

    old: list[np.ndarray] = []
    for now, to in pairwise(levels):
        eps = noise(x, now)
        if not old and to.sigma > 0:
            prime = (eps + noise(moved(x, eps, now, to), to)) / 2
        elif not old:
            prime = eps
        elif len(old) == 1:
            prime = (3 * eps - old[-1]) / 2
        elif len(old) == 2:
            prime = (23 * eps - 16 * old[-1] + 5 * old[-2]) / 12
        else:
            prime = (55 * eps - 59 * old[-1] + 37 * old[-2] - 9 * old[-3]) / 24
        old.append(eps)
        x = moved(x, prime, now, to)
    return x


def _heun(sampler, levels, data, x, end):
    # EDM, algorithm 2: du/ds = (u - x0) / s
    def slope(u, s):
        a = 1 / math.sqrt(1 + s * s)
        return (u - data.denoised(u * a, Level(None, a, s * a, None))) / s

    s_end, count = end.sigma / end.alpha, sampler.num_steps
    u = x / levels[0].alpha
    for k, (now, to) in enumerate(pairwise(levels)):
        s, s_to = now.sigma / now.alpha, to.sigma / to.alpha
        churned = sampler.s_min <= s <= (sampler.s_max or math.inf)
        gamma = min(sampler.s_churn / count, math.sqrt(2) - 1) if churned else 0.0
        s_hat = max(s, min(s + gamma * s, s_end))  # never beyond the schedule
        u = u + sampler.s_noise * math.sqrt(max(s_hat**2 - s**2, 0.0)) * _churn(x, k, s_hat > s)
        first = slope(u, s_hat)
        new = u + (s_to - s_hat) * first
        if s_to > 0:
            new = u + (s_to - s_hat) * 0.5 * (first + slope(new, s_to))
        u = new
    return u * levels[-1].alpha


def _churn(x, k, drawn):
    """A step's own normal; which one it is does not matter, for all are independent."""
    return _normal(x, k) if drawn else 0.0


def _two_m(sampler, levels, data, x, end):
    # DPM-Solver++, algorithm 2; with eta as k-diffusion's 2M SDE
    eta = getattr(sampler, "eta", 0.0)
    half = [level.log_snr / 2 for level in levels]
    old = None
    for k, (now, to) in enumerate(pairwise(levels)):
        x0, h = data.denoised(x, now), half[k + 1] - half[k]
        if math.isinf(h):
            return x0
        use = x0
        if k > 0:
            r = (half[k] - half[k - 1]) / h
            use = (1 + 1 / (2 * r)) * x0 - old / (2 * r)
        decay = math.exp(-h - eta * h)
        x = to.sigma / now.sigma * math.exp(-eta * h) * x + to.alpha * (1 - decay) * use
        x = x + to.sigma * math.sqrt(1 - math.exp(-2 * eta * h)) * _normal(x, k)
        old = x0
    return x


def _three_m(sampler, levels, data, x, end):
    # k-diffusion's 3M at eta 0, with 2 phi_3 where it has phi_3
    half = [level.log_snr / 2 for level in levels]
    old: list[np.ndarray] = []
    for k, (now, to) in enumerate(pairwise(levels)):
        x0, h = data.denoised(x, now), half[k + 1] - half[k]
        if math.isinf(h):
            return x0
        x = to.sigma / now.sigma * x + to.alpha * (1 - math.exp(-h)) * x0
        phi_2 = (math.exp(-h) - 1) / h + 1
        phi_3 = phi_2 / h - 0.5
        if k > 0:
            r0 = (half[k] - half[k - 1]) / h
            d1_0 = (x0 - old[-1]) / r0
            if k == 1:
                x = x + to.alpha * phi_2 * d1_0
            else:
                r1 = (half[k - 1] - half[k - 2]) / h
                d1_1 = (old[-1] - old[-2]) / r1
                d1 = d1_0 + (d1_0 - d1_1) * r0 / (r0 + r1)
                d2 = (d1_0 - d1_1) / (r0 + r1)
                x = x + to.alpha * (phi_2 * d1 - 2 * phi_3 * d2)
        old.append(x0)
    return x


def _unipc(sampler, levels, data, x, end):
    # UniPC, algorithms 5 to 8 for x0: the predictor's guess is judged, then corrected
    half = [level.log_snr / 2 for level in levels]
    count, ends_clean = len(levels) - 1, levels[-1].sigma == 0
    old = [data.denoised(x, levels[0])]
    for k, (now, to) in enumerate(pairwise(levels)):
        h = half[k + 1] - half[k]
        if math.isinf(h):
            return old[-1]
        order = min(sampler.order, k + 1, count - k if ends_clean else sampler.order)
        ratios = [(half[k - j] - half[k]) / h for j in range(1, order)]
        differences = [(old[-1 - j] - old[-1]) / r for j, r in enumerate(ratios, 1)]
        size = -h if sampler.variant == "bh1" else math.expm1(-h)
        psi, wanted = math.expm1(-h) / -h - 1, []
        for n in range(1, order + 1):
            wanted.append(psi * math.factorial(n) / size)
            psi = psi / -h - 1 / math.factorial(n + 1)
        powers = np.array([[r**n for r in [*ratios, 1.0]] for n in range(order)])
        rho_p = [0.5] if order == 2 else np.linalg.solve(powers[:-1, :-1], wanted[:-1])
        rho_c = [0.5] if order == 1 else np.linalg.solve(powers, wanted)
        base = to.sigma / now.sigma * x - to.alpha * math.expm1(-h) * old[-1]
        guess = base - to.alpha * size * sum(r * d for r, d in zip(rho_p, differences, strict=True))
        if k == count - 1:
            return guess
        new = data.denoised(guess, to)
        differences.append(new - old[-1])
        x = base - to.alpha * size * sum(r * d for r, d in zip(rho_c, differences, strict=True))
        old.append(new)
    return x


_RECURSIONS = {
    DDIM: _ddim,
    Euler: _euler,
    EulerAncestral: _euler,
    PLMS: _plms,
    Heun: _heun,
    DPMSolver: _two_m,
    DPMSolverSDE: _two_m,
    DPMSolver3M: _three_m,
    UniPC: _unipc,
}
