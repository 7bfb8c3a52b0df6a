"""Grids: the times a sampler visits, strictly descending; the last is where the walk stops.

``schedule.end`` is the noisiest time, 0 is clean; ``num_steps`` steps need ``num_steps + 1`` times.
A walk that stops at t = 1 (``stop=1``) ends where the chains of latent diffusion and Stable
Diffusion do, whose code calls it ``set_alpha_to_one=False``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from zoo.schedule import NoiseSchedule

Grid = Callable[[NoiseSchedule, int], Tensor]


def uniform_time(schedule: NoiseSchedule, num_steps: int) -> Tensor:
    """Equal steps from the end to 0, fractional times allowed."""
    return torch.linspace(schedule.end, 0.0, num_steps + 1, dtype=torch.float64)


def linspace(schedule: NoiseSchedule, num_steps: int) -> Tensor:
    """Equal steps from the end to t = 1, fractional times too, then 0 (k-diffusion's default)."""
    times = torch.linspace(schedule.end, 1.0, num_steps, dtype=torch.float64)
    return _with_stop(times, 0.0)


def trailing(schedule: NoiseSchedule, num_steps: int) -> Tensor:
    """Equal steps from the end, rounded to integer times (arXiv:2305.08891, table 2).

    Raises:
        ValueError: more steps than the schedule has times.
    """
    _at_most(schedule, num_steps, "trailing")
    return torch.linspace(schedule.end, 0.0, num_steps + 1, dtype=torch.float64).round()


def leading(schedule: NoiseSchedule, num_steps: int, first: int = 1, stop: float = 0.0) -> Tensor:
    """Times ``first + j k`` with the integer stride k = T // num_steps, then ``stop``.

    Where N divides T it is the uniform grid of DDIM's code, and with ``first=2, stop=1`` that of
    latent diffusion and Stable Diffusion. Elsewhere those visit ``range(0, T, k)``, which is more
    than N times; here N are visited, as in diffusers. Few steps start far below the end: one step
    at t = 1, where all but pure noise is expected.

    Raises:
        ValueError: more steps than the schedule has times.
    """
    _at_most(schedule, num_steps, "leading")
    stride = int(schedule.end) // num_steps
    times = torch.arange(num_steps, dtype=torch.float64).flip(0) * stride + first
    return _within(schedule, _with_stop(times, stop), "leading", first)


def quadratic(schedule: NoiseSchedule, num_steps: int, first: int = 1, stop: float = 0.0) -> Tensor:
    """Times ``first + j^2`` for equal steps in j up to j^2 = 0.8 T, then ``stop``.

    The "quad" grid of DDIM (arXiv:2010.02502, appendix D.2), rounded down as in its code; latent
    diffusion's has ``first=2, stop=1``. Beyond sqrt(0.8 T) steps some times coincide; published
    code walks from such a time to itself, which changes nothing, and here they count once.
    """
    roots = np.linspace(0, np.sqrt(schedule.end * 0.8), num_steps)
    squares = np.unique((roots**2).astype(int)).astype(np.float64)
    times = torch.from_numpy(squares).flip(0) + first
    return _within(schedule, _with_stop(times, stop), "quadratic", first)


def uniform_log_snr(
    schedule: NoiseSchedule, num_steps: int, lowest: float = -10.2, stop: float = 0.0
) -> Tensor:
    """Equal steps in log-SNR from the end to t = 1, then 0 (DPM-Solver, arXiv:2206.00927).

    Schedules that end in all but pure noise are entered at log-SNR ``lowest`` (alpha = 0.006, where
    the linear schedule ends): the cosine schedule would spend a third of the steps beyond it, where
    nothing happens. With ``stop`` above 0 all steps are equal and the walk ends there.
    """
    first, last, points = _range(schedule, num_steps, lowest, stop)
    times = schedule.time_at(torch.linspace(first, last, points, dtype=torch.float64))
    return _with_stop(times[: points - (stop > 0)], stop)


def karras(
    schedule: NoiseSchedule,
    num_steps: int,
    rho: float = 7.0,
    lowest: float = -10.2,
    stop: float = 0.0,
) -> Tensor:
    """Equal steps in (sigma / alpha)^(1 / rho) from the end to t = 1, then 0 (EDM, eq. 5).

    ``lowest`` and ``stop`` are those of ``uniform_log_snr``.
    """
    first, last, points = _range(schedule, num_steps, lowest, stop)
    most, least = (math.exp(-0.5 * log_snr / rho) for log_snr in (first, last))
    roots = torch.linspace(most, least, points, dtype=torch.float64)
    times = schedule.time_at(-2 * rho * roots.log())
    return _with_stop(times[: points - (stop > 0)], stop)


def respaced(schedule: NoiseSchedule, num_steps: int, sections: str | None = None) -> Tensor:
    """The timesteps that improved-diffusion keeps for a respacing string, then 0.

    Args:
        schedule: of T times.
        num_steps: how many times are kept.
        sections: "250": that many, spread from t = 1 to T; "10,10,10": so many from each of equal
            parts of the chain, the cleanest first; "ddim50": an integer stride from t = 1.
            ``num_steps`` spread evenly when None.

    Raises:
        ValueError: the string cannot be read, its counts do not add up to ``num_steps``, or a part
            has fewer times than are asked of it.
    """
    total, text = int(schedule.end), str(num_steps) if sections is None else str(sections)
    try:
        counts = [int(word) for word in text.removeprefix("ddim").split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1 or (text.startswith("ddim") and len(counts) > 1):
        raise ValueError(
            f"a respacing is written like '250', '10,10,10' or 'ddim50', got '{sections}'"
        )
    if sum(counts) != num_steps:
        raise ValueError(
            f"the respacing '{text}' has {sum(counts)} steps, but num_steps is {num_steps}"
        )
    ddim = text.startswith("ddim")
    indices = _by_stride(total, counts[0]) if ddim else _by_section(total, counts)
    return _with_stop(torch.tensor(indices[::-1], dtype=torch.float64) + 1, 0.0)


def _by_stride(total: int, count: int) -> list[int]:
    for stride in range(1, total + 1):
        if len(range(0, total, stride)) == count:
            return list(range(0, total, stride))
    raise ValueError(f"no integer stride keeps exactly {count} of {total} times")


def _by_section(total: int, counts: list[int]) -> list[int]:
    indices, start = [], 0
    for part, count in enumerate(counts):
        size = total // len(counts) + (part < total % len(counts))
        if count > size:
            raise ValueError(f"a section of {size} times cannot be divided into {count} steps")
        stride, position = (size - 1) / (count - 1) if count > 1 else 1.0, 0.0
        for _ in range(count):
            indices.append(start + round(position))  # halves to even, and the stride summed up,
            position += stride  # as the published timesteps were made
        start += size
    return indices


def _range(
    schedule: NoiseSchedule, num_steps: int, lowest: float, stop: float
) -> tuple[float, float, int]:
    """First and last log-SNR of a walk in noise levels, and how many times lie on it."""
    first = max(schedule.log_snr(schedule.end), lowest)
    return first, schedule.log_snr(stop if stop > 0 else 1.0), num_steps + (stop > 0)


def _with_stop(times: Tensor, stop: float) -> Tensor:
    return torch.cat([times, times.new_full((1,), stop)])


def _within(schedule: NoiseSchedule, times: Tensor, name: str, first: int) -> Tensor:
    if times[0] > schedule.end:
        raise ValueError(
            f"the {name} grid from first={first} reaches t = {times[0]:g}, beyond the schedule's "
            f"{schedule.end:g}: use fewer steps"
        )
    return times


def _at_most(schedule: NoiseSchedule, num_steps: int, name: str) -> None:
    if num_steps > schedule.end:
        raise ValueError(
            f"the {name} grid visits integer times: at most {schedule.end:g} steps, got {num_steps}"
        )
