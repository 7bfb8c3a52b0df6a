"""DPM-Solver++ 2M (arXiv:2211.01095, algorithm 2)."""

from __future__ import annotations

from zoo.sampler.dpm_solver_sde import DPMSolverSDE
from zoo.sampler.grid import Grid, uniform_log_snr


class DPMSolver(DPMSolverSDE):
    """The second-order multistep exponential integrator for x0 in half log-SNR: the SDE's at eta 0.

    One network evaluation per step. The first step has no history and the last, to clean data, no
    finite length: both are first order.
    """

    order = 2

    def __init__(self, num_steps: int = 20, grid: Grid = uniform_log_snr) -> None:
        super().__init__(num_steps, grid, eta=0.0)
