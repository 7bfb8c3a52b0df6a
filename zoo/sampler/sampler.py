"""The contract of a sampler: the whole walk from noise to data, as one generator."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from zoo.draw import Draw
from zoo.part import Part
from zoo.records import Level, Predict
from zoo.sampler.grid import Grid, trailing
from zoo.schedule import NoiseSchedule

MOST_STEPS = 1_000_000
_PURE = 0.01
"""The share of an image in x up to which a walk may start from pure noise."""


class Sampler(Part, ABC):
    """Walks from noise to data; holds its settings only, no model and no state of a run.

    Args:
        num_steps: the number of steps; their cost depends on the sampler.
        grid: which times are visited.

    Raises:
        ValueError: fewer than one step, or more than a million.
    """

    order: int = 1
    """The order of convergence to the probability flow; ``zoo check`` measures it where the walk
    is deterministic."""

    def __init__(self, num_steps: int = 50, grid: Grid = trailing) -> None:
        if num_steps > MOST_STEPS:
            raise ValueError(f"a sampler has at most {MOST_STEPS:,} steps, got {num_steps}")
        if num_steps < 1:
            raise ValueError(f"a sampler needs at least 1 step, got num_steps={num_steps}")
        self.num_steps = num_steps
        self.grid = grid

    def levels(self, schedule: NoiseSchedule) -> list[Level]:
        """The levels of a run as Python floats: tensors in the loop would cost more than it does.

        Raises:
            ValueError: the grid's times do not strictly descend.
        """
        times = [float(t) for t in self.grid(schedule, self.num_steps)]
        if any(now <= to for now, to in pairwise(times)):
            raise ValueError(
                f"the times of a grid must strictly descend, got {times}; with {self.num_steps} "
                f"steps on a schedule of {schedule.end:g} use fewer steps or another grid"
            )
        return schedule.levels(times)

    def start(self, noise: Tensor, first: Level) -> Tensor:
        """x at the first level from unit noise: unit scale for variance preserving schedules."""
        return noise * math.sqrt(first.alpha**2 + first.sigma**2)

    def evaluations(self, levels: list[Level]) -> int:
        """The number of network evaluations of a walk over these levels: one per step."""
        return len(levels) - 1

    @abstractmethod
    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        """Yields x after every step, from levels[1] to the last.

        Args:
            predict: noisy x and its level in, a prediction out.
            x: (B, ...) at levels[0]; not changed in place.
            levels: any descending levels, so that a walk may begin anywhere.
            draw: the noise of the steps, one stream per image.
            schedule: for solvers that evaluate between the levels.
        """


def warn_of_early_start(levels: Sequence[Level], schedule: NoiseSchedule) -> None:
    """Warns where a walk from pure noise starts at a level that should hold some of an image.

    That is more than 1 % of the variance, and more than twice what the schedule ends with.
    """
    first = levels[0]
    share = _image_share(first)
    if share > max(_PURE, 2 * _image_share(schedule.levels([schedule.end])[0])):
        rank_zero_warn(
            f"the walk starts from pure noise at t = {first.t:g} of {schedule.end:g}, where "
            f"{100 * share:.3g} % of x should be an image: take more steps, or a grid that starts "
            "at the end, such as zoo.sampler.grid.trailing"
        )


def _image_share(level: Level) -> float:
    """The image's share of the variance of x: alpha^2 / (alpha^2 + sigma^2)."""
    return level.alpha**2 / (level.alpha**2 + level.sigma**2)
