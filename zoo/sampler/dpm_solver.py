"""DPM-Solver++ 2M (arXiv:2211.01095, algorithm 2)."""

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


class DPMSolver(Sampler):
    """The second-order multistep exponential integrator for x0 in half log-SNR.

    One network evaluation per step. The first step has no history and the last, to clean data, no
    finite length: both are first order.
    """

    order = 2

    def __init__(self, num_steps: int = 20, grid: Grid = uniform_log_snr) -> None:
        super().__init__(num_steps, grid)

    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        previous: Tensor | None = None
        last_h = 0.0
        for now, to in pairwise(levels):
            x0 = predict(x, now).x0
            h = 0.5 * (to.log_snr - now.log_snr)
            weight = -to.alpha * math.expm1(-h)
            x = (x * (to.sigma / now.sigma)).add_(x0, alpha=weight)
            if previous is not None and math.isfinite(h) and math.isfinite(last_h):
                slope = 0.5 * weight * h / last_h
                x.add_(x0, alpha=slope).sub_(previous, alpha=slope)
            previous, last_h = x0, h
            yield x
