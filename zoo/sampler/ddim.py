"""DDIM (arXiv:2010.02502)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from zoo.diffusion.posterior import posterior
from zoo.draw import Draw
from zoo.records import Level, Predict
from zoo.sampler.grid import Grid, trailing
from zoo.sampler.sampler import Sampler
from zoo.schedule import NoiseSchedule


class DDIM(Sampler):
    """The non-Markovian walk of eq. 12: deterministic at eta = 0.

    The noise direction is read from x and the (clipped) x0, so that clipping keeps the two
    consistent. In sigma/alpha coordinates eta = 0 is Euler's method. One network evaluation per
    step.

    Args:
        num_steps: the number of steps.
        grid: which times are visited.
        eta: 0 is deterministic, 1 has the posterior's variance; a learned variance is not used.
    """

    def __init__(self, num_steps: int = 50, grid: Grid = trailing, eta: float = 0.0) -> None:
        super().__init__(num_steps, grid)
        if eta < 0:
            raise ValueError(f"eta must not be negative (0 is deterministic), got {eta}")
        self.eta = eta

    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        for now, to in pairwise(levels):
            variance = self.eta**2 * posterior(now, to).small if self.eta else 0.0
            c_x = math.sqrt(max(to.sigma**2 - variance, 0.0)) / now.sigma
            x = (x * c_x).add_(predict(x, now).x0, alpha=to.alpha - c_x * now.alpha)
            if variance > 0:
                x.add_(draw.normal(x), alpha=math.sqrt(variance))
            yield x
