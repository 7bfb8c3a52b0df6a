"""The linear schedule of DDPM (arXiv:2006.11239, section 4)."""

from __future__ import annotations

import numpy as np

from zoo.schedule.noise_schedule import NoiseSchedule, check_num_timesteps


class Linear(NoiseSchedule):
    """Betas linear in t, multiplied by 1000 / T as Improved DDPM does for other T.

    Args:
        num_timesteps: T.
        beta_start: the first beta at T = 1000.
        beta_end: the last beta at T = 1000.
    """

    def __init__(
        self, num_timesteps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02
    ) -> None:
        check_num_timesteps(num_timesteps)
        self.num_timesteps, self.beta_start, self.beta_end = num_timesteps, beta_start, beta_end
        scale = 1000 / num_timesteps
        super().__init__(np.linspace(scale * beta_start, scale * beta_end, num_timesteps))
