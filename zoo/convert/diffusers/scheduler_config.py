"""A model's schedule, parameterization, variance and walk as a diffusers scheduler's config."""

from __future__ import annotations

import functools
from typing import Any

import torch

from zoo.convert.diffusers.scheduler import COSINE, PREDICTIONS
from zoo.diffusion.variance import FixedVariance, LearnedVariance
from zoo.guidance import Bounded
from zoo.module import DiffusionModule
from zoo.sampler import DDIM, PLMS, Ancestral, Sampler
from zoo.schedule import (
    Cosine,
    FromBetas,
    Linear,
    NoiseSchedule,
    ScaledLinear,
    Sigmoid,
    ZeroTerminalSNR,
)

_TRAILING = {"timestep_spacing": "trailing", "steps_offset": 0, "set_alpha_to_one": True}
_OUTPUTS: dict[type, str] = {kind: name for name, kind in PREDICTIONS.items()}


def scheduler_config(module: DiffusionModule) -> dict[str, Any]:
    """The config of a DDPMScheduler, DDIMScheduler or PNDMScheduler for a model.

    The walk is the model's own where that is DDPM's, or DDIM (at eta 0, nothing clipped, for their
    clipping differs) or PLMS on a grid that diffusers has; else DDPM's for pixels and DDIM's for
    latents.

    Raises:
        ValueError: the parameterization or the variance is not among diffusers'.
    """
    diffusion, guidance = module.diffusion, module.guidance
    bounds = guidance.bounds if isinstance(guidance, Bounded) else module.first_stage.bounds
    output = _OUTPUTS.get(type(diffusion.parameterization))
    if output is None:
        raise ValueError(
            f"diffusers' schedulers have no {type(diffusion.parameterization).__name__}: possible "
            f"are {', '.join(kind.__name__ for kind in _OUTPUTS)}"
        )
    config = {**_schedule(diffusion.schedule), "prediction_type": output}
    walk = _walk(module, output, bounds)
    if walk["_class_name"] == "DDPMScheduler":
        walk["variance_type"] = _variance(diffusion.variance)
    if walk["_class_name"] != "PNDMScheduler":
        walk["clip_sample"] = bounds is not None
        if bounds is not None:
            if bounds[0] != -bounds[1]:
                raise ValueError(f"diffusers clips symmetrically, this model to {bounds}")
            walk["clip_sample_range"] = bounds[1]
    return walk | config


def _variance(variance: Any) -> str:
    if isinstance(variance, LearnedVariance):
        return "learned_range"
    names = {0.0: "fixed_small", 1.0: "fixed_large"}
    if not isinstance(variance, FixedVariance) or variance.fraction not in names:
        raise ValueError(
            f"diffusers has no variance between fixed_small (0) and fixed_large (1), this model "
            f"has {getattr(variance, 'fraction', type(variance).__name__)}"
        )
    return names[variance.fraction]


def _schedule(schedule: NoiseSchedule) -> dict[str, Any]:
    total = int(schedule.end)
    config: dict[str, Any] = {"num_train_timesteps": total}
    if isinstance(schedule, ZeroTerminalSNR):
        inner = _schedule(schedule.schedule)
        return inner | {"rescale_betas_zero_snr": True}
    if isinstance(schedule, Linear):  # ours is given at T = 1000 and multiplied by 1000 / T
        ends = {
            "beta_start": _tidy(schedule.beta_start * 1000 / total),
            "beta_end": _tidy(schedule.beta_end * 1000 / total),
        }
        return config | {"beta_schedule": "linear"} | ends
    if isinstance(schedule, ScaledLinear | Sigmoid):
        ends = {"beta_start": schedule.beta_start, "beta_end": schedule.beta_end}
        name = "sigmoid" if isinstance(schedule, Sigmoid) else "scaled_linear"
        return config | {"beta_schedule": name} | ends
    if isinstance(schedule, Cosine):
        own = {"offset": schedule.offset, "max_beta": schedule.max_beta}
        if own == COSINE:
            return config | {"beta_schedule": "squaredcos_cap_v2"}
    return config | {"trained_betas": _betas(schedule)}


def _betas(schedule: NoiseSchedule) -> list[float]:
    if isinstance(schedule, FromBetas):
        return schedule.betas
    times = torch.arange(int(schedule.end) + 1, dtype=torch.float64)
    level = schedule(times)
    if not torch.allclose(level.alpha**2 + level.sigma**2, torch.ones_like(times)):
        raise ValueError(
            f"diffusers' schedulers here are variance preserving, {type(schedule).__name__} is not"
        )
    return [float(b) for b in 1 - (level.alpha[1:] / level.alpha[:-1]) ** 2]


def _tidy(value: float) -> float:
    """The decimal that was meant: 2.5e-05, not 2.5000000000000005e-05."""
    return float(f"{value:.15g}")


def _walk(module: DiffusionModule, output: str, bounds: Any) -> dict[str, Any]:
    sampler, variance = module.sampler, module.diffusion.variance
    grid = _spacing(sampler)
    if not isinstance(variance, LearnedVariance):
        if grid is not None and type(sampler) is DDIM and sampler.eta == 0 and bounds is None:
            return {"_class_name": "DDIMScheduler", **grid}
        if grid is not None and type(sampler) is PLMS and output == "epsilon":
            return {"_class_name": "PNDMScheduler", "skip_prk_steps": True, **grid}
        if module.first_stage.bounds is None and type(sampler) is not Ancestral:
            return {"_class_name": "DDIMScheduler", **_TRAILING}
    # Its step to clean data would add noise from anywhere but timestep 0, which leading ends at.
    quiet = getattr(variance, "fraction", None) == 0
    spacing = "trailing" if quiet and grid in (None, _TRAILING) else "leading"
    return {"_class_name": "DDPMScheduler", "timestep_spacing": spacing}


def _spacing(sampler: Sampler) -> dict[str, Any] | None:
    """The options that stand for a grid, or None."""
    grid: Any = sampler.grid
    options: dict[str, Any] = {}
    if isinstance(grid, functools.partial):
        grid, options = grid.func, dict(grid.keywords)
    name = getattr(grid, "__name__", "")
    if name == "trailing" and not options:
        return dict(_TRAILING)
    first, stop = options.pop("first", 1), options.pop("stop", 0)
    if name == "leading" and not options and stop in (0, 1):
        return {
            "timestep_spacing": "leading",
            "steps_offset": first - 1,
            "set_alpha_to_one": not stop,
        }
    return None
