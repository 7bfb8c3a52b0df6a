"""DPM-Solver++ 2M for the reverse SDE (arXiv:2211.01095, section 5; k-diffusion's 2M SDE)."""

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


class DPMSolverSDE(Sampler):
    """The second-order multistep exponential integrator with exact noise in every step.

    One network evaluation per step; the last step, to clean data, is first order without noise.

    Args:
        num_steps: the number of steps.
        grid: which times are visited.
        eta: 1 is the reverse SDE; 0 its probability flow, which is ``DPMSolver``.

    Raises:
        ValueError: ``eta`` is negative.
    """

    def __init__(self, num_steps: int = 25, grid: Grid = uniform_log_snr, eta: float = 1.0) -> None:
        super().__init__(num_steps, grid)
        if eta < 0:
            raise ValueError(f"eta must not be negative (0 is deterministic), got {eta}")
        self.eta = eta

    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        previous: Tensor | None = None
        last_h = 0.0
        for now, to in pairwise(levels):
            x0 = predict(x, now).x0
            h = 0.5 * (to.log_snr - now.log_snr)
            forget = self.eta * h if self.eta else 0.0  # 0 times an infinite step is 0
            weight = -to.alpha * math.expm1(-h - forget)
            x = (x * (to.sigma / now.sigma * math.exp(-forget))).add_(x0, alpha=weight)
            if previous is not None and math.isfinite(h) and math.isfinite(last_h):
                slope = 0.5 * weight * h / last_h
                x.add_(x0, alpha=slope).sub_(previous, alpha=slope)
            if forget > 0 and to.sigma > 0:
                std = to.sigma * math.sqrt(-math.expm1(-2 * forget))
                x.add_(draw.normal(x), alpha=std)
            previous, last_h = x0, h
            yield x
