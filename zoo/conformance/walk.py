"""The suite's runs of a sampler: other numbers of steps, measured order."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zoo.conformance.data import Mixture
from zoo.draw import Draw
from zoo.records import Level, Predict
from zoo.sampler import Sampler
from zoo.sampler.grid import uniform_log_snr
from zoo.schedule import Linear, NoiseSchedule

ORDER_STEPS = (40, 80, 160, 320)


def with_steps(sampler: Sampler, num_steps: int) -> Sampler:
    """The same sampler with another number of steps."""
    variant = copy.copy(sampler)
    variant.num_steps = num_steps
    return variant


def walk(
    sampler: Sampler,
    schedule: NoiseSchedule,
    predict: Predict,
    x: Tensor,
    levels: list[Level] | None = None,
    seed: int = 0,
    indices: Sequence[int] | None = None,
) -> Tensor:
    """The last x of a run from x at the first of ``levels``, the sampler's own when None."""
    levels = sampler.levels(schedule) if levels is None else levels
    draw = Draw(seed, range(len(x)) if indices is None else indices, "steps")
    return deque(sampler.steps(predict, x, levels, draw, schedule), maxlen=1).pop()


def noise(count: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Unit noise (count, *shape), the same in every run."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *shape, dtype=torch.float64, generator=generator).to(dtype)


def flow_errors(
    make: Callable[[int], Sampler], data: Mixture, schedule: NoiseSchedule | None = None
) -> list[float]:
    """The error of a deterministic walk on the exact probability flow, for each of ORDER_STEPS.

    On equal steps in log-SNR from the end to t = 1: the closing jump to clean data is first order
    for every method. The largest error over five pixels between -1.5 and 1.5, float64.

    Args:
        make: the sampler with a number of steps.
        data: what the denoiser knows.
        schedule: ``Linear`` when None.
    """
    schedule = schedule if schedule is not None else Linear()
    x = torch.linspace(-1.5, 1.5, 5, dtype=torch.float64).reshape(1, 1, 1, 5)
    errors = []
    for count in ORDER_STEPS:
        levels = schedule.levels(uniform_log_snr(schedule, count, stop=1.0))
        end = walk(make(count), schedule, data.predict(), x, levels)
        errors.append((end - data.flow(x, levels[0], levels[-1])).abs().max().item())
    return errors


def slope(errors: Sequence[float], steps: Sequence[int] = ORDER_STEPS) -> float:
    """The order of convergence: minus the slope of log error over log steps, least squares.

    >>> slope([1 / n**2 for n in ORDER_STEPS])
    2.0
    """
    at = [math.log(count) for count in steps]
    values = [math.log(max(error, 1e-300)) for error in errors]
    mean_at, mean = sum(at) / len(at), sum(values) / len(values)
    top = sum((a - mean_at) * (v - mean) for a, v in zip(at, values, strict=True))
    return round(-top / sum((a - mean_at) ** 2 for a in at), 6)
