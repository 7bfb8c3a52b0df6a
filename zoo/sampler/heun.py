"""Heun's second-order method on the probability flow (EDM, arXiv:2206.00364, algorithm 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from zoo.draw import Draw
from zoo.records import Level, Predict
from zoo.sampler.grid import Grid, uniform_log_snr
from zoo.sampler.sampler import Sampler
from zoo.schedule import NoiseSchedule


class Heun(Sampler):
    """The trapezoidal rule for y = x/alpha over s = sigma/alpha, written as sums of x and x0.

    y' = y + (s' - s) (d + d') / 2 with the slopes d = (y - x0)/s, and d' at Euler's y + (s' - s) d.
    Two network evaluations per step, one in the last: 2 num_steps - 1 in all. The slope at pure
    noise (alpha = 0) is not finite in these coordinates, nor is the one at clean data: such steps
    are Euler's.

    Args:
        num_steps: the number of steps.
        grid: which times are visited.
        s_churn: how much noise is added before the steps, over the whole walk; 0 is deterministic.
            A step begins at (1 + min(s_churn / num_steps, sqrt(2) - 1)) times its sigma/alpha, but
            never beyond the schedule's end.
        s_min: the least sigma/alpha at which noise is added.
        s_max: the greatest; no bound when None.
        s_noise: the added noise's standard deviation.

    Raises:
        ValueError: ``s_churn`` is negative.
    """

    order = 2

    def __init__(
        self,
        num_steps: int = 25,
        grid: Grid = uniform_log_snr,
        s_churn: float = 0.0,
        s_min: float = 0.0,
        s_max: float | None = None,
        s_noise: float = 1.0,
    ) -> None:
        super().__init__(num_steps, grid)
        if s_churn < 0:
            raise ValueError(f"s_churn must not be negative (0 is deterministic), got {s_churn}")
        self.s_churn, self.s_min, self.s_max, self.s_noise = s_churn, s_min, s_max, s_noise

    def evaluations(self, levels: list[Level]) -> int:
        return sum(2 - _is_euler(now, to) for now, to in pairwise(levels))

    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        begins = [self._begin(level, schedule) for level in levels]
        for (now, to), begin in zip(pairwise(levels), begins, strict=False):
            if begin is not now:
                ratio = begin.alpha / now.alpha
                added = math.sqrt(begin.sigma**2 - (ratio * now.sigma) ** 2)
                x = (x * ratio).add_(draw.normal(x), alpha=self.s_noise * added)
                now = begin
            x0 = predict(x, now).x0
            shrink = to.sigma / now.sigma
            euler = (x * shrink).add_(x0, alpha=to.alpha - shrink * now.alpha)
            if _is_euler(now, to):
                x = euler
            else:
                ratio = to.alpha / now.alpha
                first = 0.5 * (shrink / ratio - 1)  # half the step over sigma/alpha at its start
                second = 0.5 * (1 - ratio / shrink)  # and at its end
                x = (x * (ratio * (1 + first))).add_(x0, alpha=-to.alpha * first)
                x.add_(euler, alpha=second)
                x.add_(predict(euler, to).x0, alpha=-to.alpha * second)
            yield x

    def _begin(self, now: Level, schedule: NoiseSchedule) -> Level:
        """The noisier level at which a step from ``now`` begins; ``now`` itself without churn."""
        gamma = min(self.s_churn / self.num_steps, math.sqrt(2) - 1)
        if gamma == 0 or now.alpha == 0 or now.sigma == 0:
            return now
        most = math.inf if self.s_max is None else self.s_max
        if not self.s_min <= now.sigma / now.alpha <= most:
            return now
        log_snr = max(now.log_snr - 2 * math.log1p(gamma), schedule.log_snr(schedule.end))
        return schedule.at(log_snr) if log_snr < now.log_snr else now


def _is_euler(now: Level, to: Level) -> bool:
    return to.sigma == 0 or now.alpha == 0
