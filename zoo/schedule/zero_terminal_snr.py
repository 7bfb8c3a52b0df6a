"""A schedule that ends in pure noise (arXiv:2305.08891, algorithm 1)."""

from __future__ import annotations

import numpy as np
import torch

from zoo.schedule.noise_schedule import NoiseSchedule


class ZeroTerminalSNR(NoiseSchedule):
    """Another schedule's alphas, shifted to end at 0 and scaled to begin where they began.

    x at t = T is then pure noise in training as it is in sampling. The noise cannot be read as x0
    there, so a model needs the ``Velocity`` or ``X0`` parameterization, and a grid that visits T
    (trailing, uniform_time).

    Args:
        schedule: variance preserving, with at least two times.

    Raises:
        ValueError: the schedule's alphas do not fall.
    """

    def __init__(self, schedule: NoiseSchedule) -> None:
        level = schedule(torch.arange(1, int(schedule.end) + 1, dtype=torch.float64, device="cpu"))
        alpha = level.alpha.numpy()
        if not alpha[0] > alpha[-1]:
            raise ValueError(
                f"zero terminal SNR needs a schedule whose alpha falls between t = 1 and t = T, "
                f"got {alpha[0]} and {alpha[-1]} of {type(schedule).__name__}"
            )
        self.schedule = schedule
        rescaled = (alpha - alpha[-1]) * (alpha[0] / (alpha[0] - alpha[-1]))
        betas = 1 - (rescaled[1:] / rescaled[:-1]) ** 2
        first = level.sigma[:1].numpy() ** 2  # the first level stays; 1 - alpha^2 would lose digits
        super().__init__(np.concatenate([first, betas]))
