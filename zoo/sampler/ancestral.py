"""Ancestral sampling (DDPM, algorithm 2), with any number of steps and any variance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

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
    needs no rebuilt betas; a learned variance interpolates between the step's own bounds. A
    classifier's gradient moves the mean by the step's variance times itself (ADM,
    arXiv:2105.05233, algorithm 1). One network evaluation per step.
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
            std = _std(prediction.variance_fraction, beta, small, floor)
            if prediction.score is not None:
                # x0 holds the gradient: beta a_to / a_now of it have reached the mean already.
                _add(x, prediction.score, std * std - beta * to.alpha / now.alpha)
            if to.sigma > 0:
                _add(x, draw.normal(x), std)
            yield x


def _std(fraction: Any, beta: float, small: float, floor: float) -> Any:
    """The step's standard deviation: a float where the variance is fixed, else a tensor.

    To clean data, where no noise is drawn, it still scales a classifier's gradient: 0
    for the posterior's own variance, the chain's floor for any other fixed one (ADM's code).
    """
    if isinstance(fraction, Tensor):
        low = 0.5 * log_variance(0.0, beta, small, floor)
        high = 0.5 * math.log(beta)
        return (fraction * (high - low)).add_(low).exp_()
    if fraction == 0 and small == 0:
        return 0.0
    return math.exp(0.5 * log_variance(fraction, beta, small, floor))


def _add(x: Tensor, direction: Tensor, scale: Any) -> None:
    """Adds ``scale`` times ``direction`` to x in place; a float costs no tensor."""
    if isinstance(scale, Tensor):
        x.addcmul_(direction, scale)
    else:
        x.add_(direction, alpha=scale)
