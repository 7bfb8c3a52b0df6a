"""Grids: the times a sampler visits, strictly descending; the last is where the walk stops.

``schedule.end`` is the noisiest time, 0 is clean; ``num_steps`` steps need ``num_steps + 1`` times.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.schedule import NoiseSchedule

Grid = Callable[[NoiseSchedule, int], Tensor]


def uniform_time(schedule: NoiseSchedule, num_steps: int) -> Tensor:
    """Equal steps from the end to 0, fractional times allowed."""
    return torch.linspace(schedule.end, 0.0, num_steps + 1, dtype=torch.float64)


def trailing(schedule: NoiseSchedule, num_steps: int) -> Tensor:
    """Equal steps from the end, rounded to integer times (arXiv:2305.08891, table 2).

    Raises:
        ValueError: more steps than the schedule has times.
    """
    _at_most(schedule, num_steps, "trailing")
    return torch.linspace(schedule.end, 0.0, num_steps + 1, dtype=torch.float64).round()


def leading(schedule: NoiseSchedule, num_steps: int) -> Tensor:
    """Times 1, 1 + k, 1 + 2k, ... with the integer stride k = T // num_steps, then 0 (DDIM's code).

    Raises:
        ValueError: more steps than the schedule has times.
    """
    _at_most(schedule, num_steps, "leading")
    stride = int(schedule.end) // num_steps
    times = torch.arange(num_steps, dtype=torch.float64).flip(0) * stride + 1
    return torch.cat([times, times.new_zeros(1)])


def uniform_log_snr(schedule: NoiseSchedule, num_steps: int, lowest: float = -10.2) -> Tensor:
    """Equal steps in log-SNR from the end to t = 1, then 0 (DPM-Solver, arXiv:2206.00927).

    Schedules that end in all but pure noise are entered at log-SNR ``lowest`` (alpha = 0.006, where
    the linear schedule ends): the cosine schedule would spend a third of the steps beyond it, where
    nothing happens.
    """
    first, last = max(schedule.log_snr(schedule.end), lowest), schedule.log_snr(1.0)
    times = schedule.time_at(torch.linspace(first, last, num_steps, dtype=torch.float64))
    return torch.cat([times, times.new_zeros(1)])


def _at_most(schedule: NoiseSchedule, num_steps: int, name: str) -> None:
    if num_steps > schedule.end:
        raise ValueError(
            f"the {name} grid visits integer times: at most {schedule.end:g} steps, got {num_steps}"
        )
