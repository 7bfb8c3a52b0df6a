"""The schedule of latent diffusion (arXiv:2112.10752): called "linear" in its code."""

from __future__ import annotations

import numpy as np

from zoo.schedule.noise_schedule import NoiseSchedule, check_num_timesteps


class ScaledLinear(NoiseSchedule):
    """sqrt(beta) linear in t; at 1e-4 .. 0.02 the "quad" schedule of DDPM's code.

    Args:
        num_timesteps: T; the ends are used as they are, whatever T.
        beta_start: the first beta.
        beta_end: the last beta.
    """

    def __init__(
        self, num_timesteps: int = 1000, beta_start: float = 0.0015, beta_end: float = 0.0195
    ) -> None:
        check_num_timesteps(num_timesteps)
        self.num_timesteps, self.beta_start, self.beta_end = num_timesteps, beta_start, beta_end
        super().__init__(np.linspace(beta_start**0.5, beta_end**0.5, num_timesteps) ** 2)
