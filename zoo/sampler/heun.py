"""Heun's second-order method on the probability flow (EDM, arXiv:2206.00364, algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from zoo.draw import Draw
from zoo.records import Level, Predict
from zoo.sampler.grid import Grid, uniform_log_snr
from zoo.sampler.sampler import Sampler
from zoo.schedule import NoiseSchedule


class Heun(Sampler):
    """The trapezoidal rule for x/alpha over sigma/alpha, written as sums of x and x0.

    Two network evaluations per step, one in the last: 2 num_steps - 1 in all. The slope at pure
    noise (alpha = 0) is not finite in these coordinates, nor is the one at clean data: such steps
    are Euler's.
    """

    def __init__(self, num_steps: int = 25, grid: Grid = uniform_log_snr) -> None:
        super().__init__(num_steps, grid)

    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        for now, to in pairwise(levels):
            x0 = predict(x, now).x0
            shrink = to.sigma / now.sigma
            euler = (x * shrink).add_(x0, alpha=to.alpha - shrink * now.alpha)
            if to.sigma == 0 or now.alpha == 0:
                x = euler
            else:
                ratio = to.alpha / now.alpha
                first = 0.5 * (shrink / ratio - 1)  # half the step over sigma/alpha at its start
                second = 0.5 * (1 - ratio / shrink)  # and at its end
                x = (x * (ratio * (1 + first))).add_(x0, alpha=-to.alpha * first)
                x.add_(euler, alpha=second)
                x.add_(predict(euler, to).x0, alpha=-to.alpha * second)
            yield x
