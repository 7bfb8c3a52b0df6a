"""Samplers and their peers in diffusers, on the same grid, noise and denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from zoo.conformance.data import MIXTURE
from zoo.draw import Draw
from zoo.records import Level, Prediction
from zoo.sampler import (
    DDIM,
    PLMS,
    Ancestral,
    DiffusersScheduler,
    DPMSolver,
    DPMSolverSDE,
    Euler,
    EulerAncestral,
    Heun,
    Sampler,
    UniPC,
)
from zoo.sampler.grid import karras, leading, trailing, uniform_log_snr
from zoo.schedule import Linear

SCHEDULE = Linear()
SD = partial(leading, first=2, stop=1.0)
SD_SPACING = {"timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False}
TRAILING = {"timestep_spacing": "trailing"}
LEADING = {"timestep_spacing": "leading"}


@dataclass(frozen=True)
class Peer:
    """A scheduler of diffusers and what it is in the zoo (None where it is wrong there)."""

    scheduler: str
    config: dict[str, Any]
    ours: Sampler | None
    options: dict[str, Any] = field(default_factory=dict)
    fraction: float | None = 0.0  # of the variance; None: learned
    steps: int = 20
    exact: bool = False  # float64 alphas there: its float32 sigma at t = 1 is 3e-4 off
    rounds: bool = False  # asks the network at rounded timesteps, but walks the exact ones


def _stopping(schedule, num_steps):
    return torch.cat([trailing(schedule, num_steps)[:-1], torch.ones(1, dtype=torch.float64)])


MULTISTEP = {"algorithm_type": "dpmsolver++", "solver_order": 2}
UNIPC = {"timestep_spacing": "trailing", "lower_order_final": True}
PEERS = {
    "Ancestral small": Peer("DDPMScheduler", TRAILING, Ancestral(20)),
    "Ancestral large": Peer(  # leading: to clean data from t > 1 diffusers draws noise there
        "DDPMScheduler",
        {**LEADING, "variance_type": "fixed_large"},
        Ancestral(20, leading),
        fraction=1.0,
    ),
    "Ancestral learned": Peer(
        "DDPMScheduler",
        {**LEADING, "variance_type": "learned_range"},
        Ancestral(20, leading),
        fraction=None,
    ),
    "DDIM": Peer("DDIMScheduler", TRAILING, DDIM(20)),
    "DDIM eta 0.5": Peer("DDIMScheduler", TRAILING, DDIM(20, eta=0.5), {"eta": 0.5}),
    "DDIM Stable Diffusion": Peer("DDIMScheduler", SD_SPACING, DDIM(20, SD)),
    "PLMS": Peer("PNDMScheduler", {**SD_SPACING, "skip_prk_steps": True}, PLMS(20, SD)),
    "Euler": Peer("EulerDiscreteScheduler", {"use_karras_sigmas": True}, Euler(20)),
    "EulerAncestral": Peer(
        "EulerAncestralDiscreteScheduler", TRAILING, EulerAncestral(20, trailing)
    ),
    "Heun": Peer("HeunDiscreteScheduler", {"use_karras_sigmas": True}, Heun(20, karras)),
    "DPMSolver": Peer(
        "DPMSolverMultistepScheduler", {**MULTISTEP, "use_lu_lambdas": True},
        DPMSolver(20, uniform_log_snr),
        rounds=True,
    ),
    "DPMSolver Karras": Peer(
        "DPMSolverMultistepScheduler", {**MULTISTEP, "use_karras_sigmas": True},
        DPMSolver(20, karras),
        rounds=True,
    ),
    "DPMSolver trailing": Peer(
        "DPMSolverMultistepScheduler", {**MULTISTEP, **TRAILING}, DPMSolver(20, trailing)
    ),
    "DPMSolverSDE": Peer(
        "DPMSolverMultistepScheduler",
        {**MULTISTEP, **TRAILING, "algorithm_type": "sde-dpmsolver++"},
        DPMSolverSDE(20, trailing),
    ),
    "UniPC 1": Peer(
        "UniPCMultistepScheduler", {**UNIPC, "solver_order": 1}, UniPC(20, trailing, 1)
    ),
    "UniPC 2": Peer("UniPCMultistepScheduler", UNIPC, UniPC(20, trailing)),
    "UniPC 3": Peer(
        "UniPCMultistepScheduler", {**UNIPC, "solver_order": 3}, UniPC(20, trailing, 3)
    ),
    "UniPC 3 Karras": Peer(
        "UniPCMultistepScheduler", {"use_karras_sigmas": True, "solver_order": 3},
        UniPC(20, karras, 3),
        rounds=True,
    ),
    "UniPC 3 bh1": Peer(  # to clean data this one gives NaN there
        "UniPCMultistepScheduler",
        {
            **TRAILING,
            "solver_order": 3,
            "solver_type": "bh1",
            "lower_order_final": False,
            "final_sigmas_type": "sigma_min",
        },
        UniPC(20, _stopping, 3, "bh1"),
        exact=True,
    ),
    "3M as published": Peer(
        "DPMSolverMultistepScheduler", {**MULTISTEP, **TRAILING, "solver_order": 3}, None
    ),
    "DDIM linspace": Peer("DDIMScheduler", {"timestep_spacing": "linspace"}, None),
    "DDIM clipped": Peer("DDIMScheduler", {**TRAILING, "clip_sample": True}, None),
    "LMS": Peer("LMSDiscreteScheduler", TRAILING, None),
    "DEIS": Peer("DEISMultistepScheduler", TRAILING, None),
    "DPM single-step": Peer("DPMSolverSinglestepScheduler", {}, None),
    "DPM2 ancestral": Peer("KDPM2AncestralDiscreteScheduler", TRAILING, None),
}  # fmt: skip


def start(batch: int = 2) -> Tensor:
    """The first x, float32."""
    return Draw(7, range(batch), "start").normal(torch.empty(batch, 3, 8, 8))


def denoiser(peer: Peer) -> Callable[[Tensor, Level], Prediction]:
    """A nonlinear denoiser with the peer's variance."""

    def predict(x: Tensor, level: Level) -> Prediction:
        fraction = torch.full_like(x, 0.3) if peer.fraction is None else peer.fraction
        return MIXTURE.predict(fraction)(x, level)

    return predict


def native(peer: Peer) -> Tensor:
    """The zoo's own sampler."""
    assert peer.ours is not None
    levels = peer.ours.levels(SCHEDULE)
    draw = Draw(7, range(2), "steps")
    *_, x = peer.ours.steps(denoiser(peer), start(), levels, draw, SCHEDULE)
    return x


def adapted(peer: Peer) -> Tensor:
    """diffusers through the adapter."""
    sampler = DiffusersScheduler(peer.steps, peer.scheduler, peer.config, peer.options)
    levels = sampler.levels(SCHEDULE)
    *_, x = sampler.steps(denoiser(peer), start(), levels, Draw(7, range(2), "steps"), SCHEDULE)
    return x


def theirs(peer: Peer, exact_levels: bool) -> Tensor:
    """diffusers' own loop on its own linear betas; its noise is ours.

    Args:
        peer: the scheduler.
        exact_levels: whether the denoiser is asked at the scheduler's exact sigma, or at its
            timestep, which DPM-Solver rounds.
    """
    import diffusers

    kind = getattr(diffusers, peer.scheduler)
    scheduler = kind(beta_start=1e-4, beta_end=0.02, beta_schedule="linear", **_off(kind, peer))
    if peer.exact:
        times = torch.arange(1, 1001, dtype=torch.float64)
        scheduler.alphas_cumprod = SCHEDULE(times).alpha ** 2
    scheduler.set_timesteps(peer.steps)
    draw, sample = Draw(7, range(2), "steps"), start()
    patched = mock.patch(
        f"{kind.__module__}.randn_tensor",
        lambda shape, **_: draw.normal(torch.empty(shape)),
        create=True,
    )
    scale = float(scheduler.scale_model_input(torch.ones(()), scheduler.timesteps[0]))
    sample = sample / scale
    with patched:
        for t in scheduler.timesteps:
            seen = scheduler.scale_model_input(sample, t)
            level = SCHEDULE(float(t) + 1)
            if exact_levels and getattr(scheduler, "step_index", None) is not None:
                level = SCHEDULE.at(-2 * math.log(float(scheduler.sigmas[scheduler.step_index])))
            elif exact_levels and hasattr(scheduler, "sigmas"):
                level = SCHEDULE.at(-2 * math.log(float(scheduler.sigmas[0])))
            prediction = denoiser(peer)(seen, level)
            eps = (seen - level.alpha * prediction.x0) / level.sigma
            if peer.fraction is None:
                eps = torch.cat([eps, 2 * prediction.variance_fraction - 1], dim=1)
            sample = scheduler.step(eps, t, sample, **peer.options).prev_sample
    if scale != 1:  # the last sigma is 0 for all of these
        assert float(scheduler.sigmas[-1]) == 0
    return sample


def _off(kind: type, peer: Peer) -> dict[str, Any]:
    import inspect

    takes = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    return {**({"clip_sample": False} if "clip_sample" in takes else {}), **peer.config}


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference over the largest value."""
    return ((a - b).abs().max() / b.abs().max()).item()
