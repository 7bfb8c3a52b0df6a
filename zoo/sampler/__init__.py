"""Samplers: how a walk from noise to data goes."""

from zoo.sampler import grid
from zoo.sampler.ancestral import Ancestral
from zoo.sampler.ddim import DDIM
from zoo.sampler.dpm_solver import DPMSolver
from zoo.sampler.heun import Heun
from zoo.sampler.sampler import Sampler

__all__ = ["DDIM", "Ancestral", "DPMSolver", "Heun", "Sampler", "grid"]
