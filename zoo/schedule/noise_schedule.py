"""One decreasing log-SNR curve over time, and its inverse."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.part import Part
from zoo.records import Level, N

MOST_TIMESTEPS = 1_000_000


def check_num_timesteps(num_timesteps: int) -> None:
    """Raises ValueError where a table cannot have so many entries."""
    if not 1 <= num_timesteps <= MOST_TIMESTEPS:
        raise ValueError(f"num_timesteps is 1 to {MOST_TIMESTEPS:,}, got {num_timesteps}")


class NoiseSchedule(Part):
    """Noise levels over time, from a table of betas.

    Time runs from 0 (clean) to ``end`` (the number of table entries); integer ``t`` is the
    papers' step ``t`` (1-based), fractional ``t`` lies between. log-SNR is linear in t between
    integers; below t = 1 log alpha is (a flat log-SNR there would give repeated times), and in the
    last step of a schedule that ends in pure noise alpha is (log-SNR falls to -inf there).

    It is a plain object with float64 tables on the CPU, not an ``nn.Module``: as a module it would
    lose levels under ``.to(bfloat16)``, add to the state dict, and have no data on the meta device.

    Args:
        betas: (T,) the variances of the forward steps, each in (0, 1); the last may be 1.

    Raises:
        ValueError: a beta lies outside that range.
    """

    def __init__(self, betas: np.ndarray) -> None:
        betas = np.asarray(betas, dtype=np.float64)
        if betas.ndim != 1 or not len(betas) or not ((betas > 0) & (betas <= 1)).all():
            raise ValueError(
                f"betas must be a non-empty list of numbers in (0, 1], got {betas.shape} between "
                f"{betas.min(initial=np.inf)} and {betas.max(initial=-np.inf)}"
            )
        earlier = betas[: max(1, len(betas) - 1)]
        if (earlier == 1).any():
            raise ValueError(
                f"beta {int(earlier.argmax()) + 1} of {len(betas)} is 1: only the last of several "
                "may end the signal"
            )
        self.end = float(len(betas))
        with np.errstate(divide="ignore"):
            log_alpha2 = np.cumsum(np.log1p(-betas))
        log_snr = _log_snr(log_alpha2)
        self._log_alpha_1 = 0.5 * float(log_alpha2[0])
        self._table = log_snr  # entry k belongs to t = k + 1
        self._ends_in_noise = bool(betas[-1] == 1)
        self._alpha_before_end = math.exp(0.5 * float(log_alpha2[-2:][0]))

    def log_snr(self, t: N) -> N:
        """log(alpha^2 / sigma^2) at time t: inf at 0, decreasing; a float or (B,) float64.

        Raises:
            ValueError: t lies outside [0, end].
        """
        times = np.atleast_1d(np.asarray(t, dtype=np.float64))
        if not ((times >= 0) & (times <= self.end)).all():
            raise ValueError(f"t must lie in [0, {self.end:g}], got {times.min()} to {times.max()}")
        lower = np.clip(np.floor(times).astype(int), 1, len(self._table)) - 1
        upper = np.minimum(lower + 1, len(self._table) - 1)
        fraction = np.clip(times - 1 - lower, 0.0, 1.0)
        between = self._table[lower].copy()
        inside = fraction > 0  # where it is 0, -inf at the end must not meet 0 * inf
        between[inside] += fraction[inside] * (self._table[upper[inside]] - between[inside])
        curve = np.where(times < 1, _log_snr(2 * times * self._log_alpha_1), between)
        if self._ends_in_noise:
            last = times > self.end - 1
            curve[last] = _log_snr(_log_square((self.end - times[last]) * self._alpha_before_end))
        return torch.from_numpy(curve) if isinstance(t, Tensor) else float(curve[0])

    def time_at(self, log_snr: N) -> N:
        """The time with this log-SNR, clamped to [0, end]; inverse of ``log_snr``."""
        curve = np.atleast_1d(np.asarray(log_snr, dtype=np.float64))
        finite = len(self._table) - self._ends_in_noise
        inside = np.interp(-curve, -self._table[:finite], np.arange(1.0, finite + 1))
        log_alpha = -0.5 * np.logaddexp(0.0, -curve)  # alpha^2 = sigmoid(log_snr)
        times = np.where(curve > self._table[0], log_alpha / self._log_alpha_1, inside)
        if self._ends_in_noise:
            last = curve < self._table[-2]
            times[last] = self.end - np.exp(log_alpha[last]) / self._alpha_before_end
        return torch.from_numpy(times) if isinstance(log_snr, Tensor) else float(times[0])

    def alpha_sigma(self, log_snr: N) -> tuple[N, N]:
        """The family: variance preserving, alpha^2 + sigma^2 = 1."""
        if isinstance(log_snr, Tensor):
            return log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()
        return math.sqrt(_sigmoid(log_snr)), math.sqrt(_sigmoid(-log_snr))

    def __call__(self, t: Any) -> Level:
        """The level at time t: Python floats for a number, (B,) float64 on the CPU for a tensor."""
        log_snr = self.log_snr(t.cpu() if isinstance(t, Tensor) else t)
        alpha, sigma = self.alpha_sigma(log_snr)
        return Level(t.cpu().double() if isinstance(t, Tensor) else float(t), alpha, sigma, log_snr)

    def at(self, log_snr: float) -> Level[float]:
        """The level with this log-SNR."""
        return Level(self.time_at(log_snr), *self.alpha_sigma(log_snr), log_snr)

    def levels(self, times: Iterable[float]) -> list[Level]:
        """Levels as Python floats, made once before a sampler's loop."""
        return [self(float(t)) for t in times]


def _log_snr(log_alpha2: np.ndarray) -> np.ndarray:
    """log(alpha^2 / (1 - alpha^2)), exact where alpha^2 is all but 1."""
    with np.errstate(divide="ignore"):
        return log_alpha2 - np.log(-np.expm1(log_alpha2))


def _log_square(alpha: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return 2 * np.log(alpha)


def _sigmoid(value: float) -> float:
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    small = math.exp(value)
    return small / (1.0 + small)


class FromBetas(NoiseSchedule):
    """The schedule of a given list of betas.

    Args:
        betas: T numbers in (0, 1); the last may be 1.
    """

    def __init__(self, betas: list[float]) -> None:
        super().__init__(np.asarray(betas, dtype=np.float64))
        self.betas = [float(beta) for beta in betas]
