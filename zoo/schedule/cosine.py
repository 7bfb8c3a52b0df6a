"""The cosine schedule of Improved DDPM (arXiv:2102.09672, eq. 17)."""

from __future__ import annotations

import numpy as np

from zoo.schedule.noise_schedule import NoiseSchedule, check_num_timesteps


class Cosine(NoiseSchedule):
    """alpha^2 = cos^2((t/T + s) / (1 + s) * pi/2) / cos^2(s / (1 + s) * pi/2), betas capped.

    Args:
        num_timesteps: T.
        offset: s, which keeps the first betas from being too small.
        max_beta: the cap of a single beta near t = T.
    """

    def __init__(
        self, num_timesteps: int = 1000, offset: float = 0.008, max_beta: float = 0.999
    ) -> None:
        check_num_timesteps(num_timesteps)
        self.num_timesteps, self.offset, self.max_beta = num_timesteps, offset, max_beta
        t = np.arange(num_timesteps + 1) / num_timesteps
        alpha2 = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
        super().__init__(np.minimum(1 - alpha2[1:] / alpha2[:-1], max_beta))
