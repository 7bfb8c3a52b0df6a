"""Ancestral sampling (DDPM, algorithm 2), with any number of steps and any variance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from zoo.diffusion.posterior import log_variance, posterior, variance_floor
from zoo.draw import Draw
from zoo.records import Level, Predict
from zoo.sampler.grid import Grid, trailing
from zoo.sampler.sampler import Sampler
from zoo.schedule import NoiseSchedule


class Ancestral(Sampler):
    """Draws each step from the predicted reverse distribution.

    A step between any two levels uses their own posterior, so respacing (Improved DDPM, section 4)
    needs no rebuilt betas; a learned variance interpolates between the step's own bounds.
    One network evaluation per step.
    """

    def __init__(self, num_steps: int = 250, grid: Grid = trailing) -> None:
        super().__init__(num_steps, grid)

    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        floor = variance_floor(levels)
        for now, to in pairwise(levels):
            c_x, c_x0, beta, small = posterior(now, to)
            prediction = predict(x, now)
            x = (x * c_x).add_(prediction.x0, alpha=c_x0)
            if to.sigma > 0:
                fraction = prediction.variance_fraction
                if isinstance(fraction, Tensor):
                    low = 0.5 * log_variance(0.0, beta, small, floor)
                    high = 0.5 * log_variance(1.0, beta, small, floor)
                    x.addcmul_(draw.normal(x), (fraction * (high - low)).add_(low).exp_())
                else:
                    std = math.exp(0.5 * log_variance(fraction, beta, small, floor))
                    x.add_(draw.normal(x), alpha=std)
            yield x
