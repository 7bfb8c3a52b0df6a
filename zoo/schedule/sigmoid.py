"""The sigmoid schedule of betas (GeoDiff, arXiv:2203.02923; diffusers' "sigmoid")."""

from __future__ import annotations

import numpy as np

from zoo.schedule.noise_schedule import NoiseSchedule, check_num_timesteps


class Sigmoid(NoiseSchedule):
    """Betas follow sigmoid(linspace(-6, 6)), scaled to [beta_start, beta_end].

    Args:
        num_timesteps: T.
        beta_start: added to every beta.
        beta_end: the betas' upper end.
    """

    def __init__(
        self, num_timesteps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02
    ) -> None:
        check_num_timesteps(num_timesteps)
        self.num_timesteps, self.beta_start, self.beta_end = num_timesteps, beta_start, beta_end
        curve = 1 / (1 + np.exp(-np.linspace(-6, 6, num_timesteps)))
        super().__init__(curve * (beta_end - beta_start) + beta_start)
