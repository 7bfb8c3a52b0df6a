"""The sampler that makes a diffusers scheduler's own steps.

Each function reads its scheduler's options and gives one of our samplers, or None where none makes
those steps: then ``adapter`` runs diffusers' own. Diffusers counts timesteps from 0, we count times
from 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from zoo.convert.diffusers.options import Options
from zoo.sampler import (
    DDIM,
    PLMS,
    Ancestral,
    DiffusersScheduler,
    DPMSolver,
    Euler,
    EulerAncestral,
    Sampler,
    grid,
)

CLIPS = ("DDPMScheduler", "DDIMScheduler")
"""Schedulers that clip x0."""

OF_OTHERS = (
    "algorithm_type", "final_sigmas_type", "interpolation_type", "lower_order_final",
    "set_alpha_to_one", "skip_prk_steps", "solver_order", "solver_type", "steps_offset",
    "timestep_type", "use_beta_sigmas", "use_exponential_sigmas", "use_karras_sigmas",
    "variance_type",
)  # fmt: skip
"""Options that a config made from another scheduler's keeps, and that then mean nothing."""

_OWN = {  # of these options, those that a scheduler has; the others have most
    "DDPMScheduler": ("steps_offset", "variance_type"),
    "DDIMScheduler": ("steps_offset", "set_alpha_to_one"),
    "PNDMScheduler": ("steps_offset", "set_alpha_to_one", "skip_prk_steps"),
}

_OF_THE_SCHEDULE = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas",
    "rescale_betas_zero_snr", "predict_epsilon", "tensor_format", "timestep_values",
)  # fmt: skip


def _ddpm(options: Options, num_steps: int) -> Sampler | None:
    spacing, offset = options.take("timestep_spacing"), options.take("steps_offset")
    total = options.take("num_train_timesteps")
    # Its step to clean data adds noise unless it begins at timestep 0; 1e-20 where fixed_small.
    quiet = str(options.take("variance_type")).startswith("fixed_small")
    if spacing == "leading" and (offset == 0 or quiet):
        return Ancestral(num_steps, _leading(first=1 + offset, stop=0))
    if spacing == "trailing" and (num_steps == total or quiet):
        return Ancestral(num_steps, grid.trailing)
    return None


def _ddim(options: Options, num_steps: int, kind: type[Sampler] = DDIM) -> Sampler | None:
    """Its previous timestep is T // num_steps before, visited or not."""
    spacing, offset = options.take("timestep_spacing"), options.take("steps_offset")
    total, stop = options.take("num_train_timesteps"), 1 - bool(options.take("set_alpha_to_one"))
    if kind is DDIM and options.take("clip_sample") is not False:
        return None
    if spacing == "leading" and offset < total // num_steps and offset >= stop:
        return kind(num_steps, _leading(first=1 + offset, stop=stop))
    if spacing == "trailing" and total % num_steps == 0 and not stop:
        return kind(num_steps, grid.trailing)
    return None


def _pndm(options: Options, num_steps: int) -> Sampler | None:
    if not options.take("skip_prk_steps") or options.take("prediction_type") != "epsilon":
        return None  # its multistep formula is applied to the network's output, whatever it is
    return _ddim(options, num_steps, PLMS)


def _euler(options: Options, num_steps: int, eta: float = 0.0) -> Sampler | None:
    spacing, offset = options.take("timestep_spacing"), options.take("steps_offset")
    plain = {
        "interpolation_type": "linear",
        "timestep_type": "discrete",
        "final_sigmas_type": "zero",
    }
    if any(options.take(name) not in (None, value) for name, value in plain.items()):
        return None
    if any([*map(options.take, _OTHER_SIGMAS), options.take("rescale_betas_zero_snr")]):
        return None
    if spacing == "leading":  # starts from unit noise
        return DDIM(num_steps, _leading(first=1 + offset, stop=0), eta)
    if spacing == "trailing":
        return (EulerAncestral if eta else Euler)(num_steps, grid.trailing)
    return None


def _dpm_solver(options: Options, num_steps: int) -> Sampler | None:
    plain = {
        "solver_order": 2,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "euler_at_final": False,
        "final_sigmas_type": "zero",  # the last step is of first order then
        "lambda_min_clipped": -float("inf"),
        "use_dynamic_shifting": False,
    }
    options.ignore("lower_order_final", "flow_shift", "time_shift_type", "steps_offset")
    if any(options.take(name) not in (None, value) for name, value in plain.items()):
        return None
    others = (*_OTHER_SIGMAS, "use_lu_lambdas", "use_flow_sigmas", "rescale_betas_zero_snr")
    if any([*map(options.take, others)]):
        return None
    spacing = options.take("timestep_spacing")
    return DPMSolver(num_steps, grid.trailing) if spacing == "trailing" else None


_OTHER_SIGMAS = (
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "sigma_min",
    "sigma_max",
)
WALKS: dict[str, Callable[[Options, int], Sampler | None]] = {
    "DDPMScheduler": _ddpm,
    "DDIMScheduler": _ddim,
    "PNDMScheduler": _pndm,
    "EulerDiscreteScheduler": _euler,
    "EulerAncestralDiscreteScheduler": partial(_euler, eta=1.0),
    "DPMSolverMultistepScheduler": _dpm_solver,
}


def _leading(first: int, stop: int) -> grid.Grid:
    if first == 1 and stop == 0:
        return grid.leading
    return partial(grid.leading, first=first, stop=float(stop))


def adapter(name: str, options: Options, num_steps: int) -> Sampler:
    """Diffusers' own walk, on our schedule; its betas are the schedule's."""
    foreign = {*OF_OTHERS} - {*_OWN[name]} if name in _OWN else {*_OWN["PNDMScheduler"][1:]}
    foreign |= {*_OF_THE_SCHEDULE}
    plain = {k: v for k, v in options.values.items() if k not in foreign}
    if options.take("predict_epsilon") is False:
        plain["prediction_type"] = "sample"
    if name not in CLIPS:
        plain = {k: v for k, v in plain.items() if k not in ("clip_sample", "clip_sample_range")}
    if name == "DDIMScheduler":
        plain.setdefault("clip_sample", True)  # the adapter's own default is not to clip
    return DiffusersScheduler(num_steps, name, plain)
