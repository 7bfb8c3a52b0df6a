"""Samplers: how a walk from noise to data goes."""

from zoo.sampler import grid
from zoo.sampler.ancestral import Ancestral
from zoo.sampler.ddim import DDIM
from zoo.sampler.diffusers_scheduler import DiffusersScheduler
from zoo.sampler.dpm_solver import DPMSolver
from zoo.sampler.dpm_solver_3m import DPMSolver3M
from zoo.sampler.dpm_solver_sde import DPMSolverSDE
from zoo.sampler.euler import Euler, EulerAncestral
from zoo.sampler.heun import Heun
from zoo.sampler.plms import PLMS
from zoo.sampler.sampler import Sampler
from zoo.sampler.unipc import UniPC

__all__ = [
    "DDIM", "PLMS", "Ancestral", "DPMSolver", "DPMSolver3M", "DPMSolverSDE", "DiffusersScheduler",
    "Euler", "EulerAncestral", "Heun", "Sampler", "UniPC", "grid",
]  # fmt: skip
