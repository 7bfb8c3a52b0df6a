"""Euler's method and its ancestral form as k-diffusion runs them (EDM, arXiv:2206.00364)."""

from __future__ import annotations

from torch import Tensor

from zoo.records import Level
from zoo.sampler.ddim import DDIM
from zoo.sampler.grid import Grid, karras


class Euler(DDIM):
    """Euler steps of x/alpha over sigma/alpha, which are DDIM's at eta = 0.

    What differs is the grid and the start, sigma times noise. One network evaluation per step.
    """

    def __init__(self, num_steps: int = 50, grid: Grid = karras) -> None:
        super().__init__(num_steps, grid, eta=0.0)

    def start(self, noise: Tensor, first: Level) -> Tensor:
        """x at the first level from unit noise, as if the data were 0."""
        return noise * first.sigma


class EulerAncestral(DDIM):
    """Euler steps to less than the next level's noise, then fresh noise: DDIM's at eta = 1.

    What differs is the grid and the start, sigma times noise. One network evaluation per step.
    """

    def __init__(self, num_steps: int = 50, grid: Grid = karras) -> None:
        super().__init__(num_steps, grid, eta=1.0)

    start = Euler.start
