"""PLMS, the pseudo linear multistep method (PNDM, arXiv:2202.09778)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from zoo.draw import Draw
from zoo.records import Level, Predict
from zoo.sampler.grid import Grid, leading
from zoo.sampler.sampler import Sampler
from zoo.schedule import NoiseSchedule

_ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


class PLMS(Sampler):
    """Adams-Bashforth in the noise, up to order 4, each step moved by DDIM's formula (eq. 12).

    y' = y + (s' - s) sum_k w_k eps_k with y = x/alpha, s = sigma/alpha, eps_0 the noise predicted
    now and eps_k that of k steps before; w = (55, -59, 37, -9)/24 from the fourth step on.
    The first step is Heun's and costs a second network evaluation: num_steps + 1 in all. The
    weights are those of equal steps in sigma/alpha whatever the grid, which makes the method second
    order. From pure noise (alpha = 0) the first step is DDIM's, as is a single one to clean data.
    """

    order = 2

    def __init__(self, num_steps: int = 50, grid: Grid = leading) -> None:
        super().__init__(num_steps, grid)

    def evaluations(self, levels: list[Level]) -> int:
        return len(levels) - 1 + (levels[0].alpha > 0 and levels[1].sigma > 0)

    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        history: deque[tuple[Tensor, float]] = deque(maxlen=3)  # sigma noise, sigma; newest first
        for now, to in pairwise(levels):
            x0 = predict(x, now).x0
            noise = torch.add(x, x0, alpha=-now.alpha), now.sigma
            if now.alpha == 0:
                x = (x * (to.sigma / now.sigma)).add_(x0, alpha=to.alpha)
            else:
                ratio = to.alpha / now.alpha
                step = to.sigma - ratio * now.sigma
                terms = [noise, *history]
                weights = _ADAMS_BASHFORTH[len(history)]
                if not history and to.sigma > 0:
                    euler = (x * ratio).add_(noise[0], alpha=step / now.sigma)
                    after = torch.add(euler, predict(euler, to).x0, alpha=-to.alpha)
                    terms, weights = [noise, (after, to.sigma)], (1 / 2, 1 / 2)
                x = x * ratio
                for (term, sigma), weight in zip(terms, weights, strict=True):
                    x.add_(term, alpha=step * weight / sigma)
            history.appendleft(noise)
            yield x
