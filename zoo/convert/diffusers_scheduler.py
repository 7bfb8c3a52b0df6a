"""A diffusers scheduler's config: schedule, parameterization, variance, and the walk it stands for.

Where one of our samplers makes the same steps it is taken; else ``DiffusersScheduler`` runs
diffusers' own. Diffusers counts timesteps from 0, we count times from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from zoo.convert.diffusers_options import Options
from zoo.diffusion.parameterization import X0, Epsilon, Parameterization, Velocity
from zoo.diffusion.variance import FixedVariance, LearnedVariance, Variance
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
from zoo.schedule import (
    Cosine,
    FromBetas,
    Linear,
    NoiseSchedule,
    ScaledLinear,
    Sigmoid,
    ZeroTerminalSNR,
)

_OF_THE_SCHEDULE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
    "predict_epsilon",
    "tensor_format",
    "timestep_values",
)
_CLIPS = ("DDPMScheduler", "DDIMScheduler")
_OF_OTHERS = (
    "algorithm_type",
    "final_sigmas_type",
    "interpolation_type",
    "lower_order_final",
    "set_alpha_to_one",
    "skip_prk_steps",
    "solver_order",
    "solver_type",
    "steps_offset",
    "timestep_type",
    "use_beta_sigmas",
    "use_exponential_sigmas",
    "use_karras_sigmas",
    "variance_type",
)
COSINE = {"offset": 0.008, "max_beta": 0.999}  # the only ones of diffusers' squaredcos_cap_v2
_DEFAULTS = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 0,
    "clip_sample_range": 1.0,
    "variance_type": "fixed_small",
    "set_alpha_to_one": True,
    "lambda_min_clipped": -float("inf"),
}
_OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "PNDMScheduler": {"set_alpha_to_one": False},
    "EulerDiscreteScheduler": {"timestep_spacing": "linspace"},
    "EulerAncestralDiscreteScheduler": {"timestep_spacing": "linspace"},
    "DPMSolverMultistepScheduler": {"timestep_spacing": "linspace", "variance_type": None},
}
_ADAPTED = (  # any of the K-diffusion family that diffusers lets a user exchange
    "DEISMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "UniPCMultistepScheduler",
)


@dataclass(frozen=True)
class Scheduled:
    """What a scheduler's config says.

    Attributes:
        schedule: the noise levels.
        parameterization: what the network's output means.
        variance: of the reverse steps.
        sampler: the walk.
        bounds: x0 is clipped to them; None where the scheduler does not clip.
    """

    schedule: NoiseSchedule
    parameterization: Parameterization
    variance: Variance
    sampler: Sampler
    bounds: list[float] | None


def read_scheduler(
    config: Mapping[str, Any], num_steps: int, sampler: Sampler | None = None
) -> Scheduled:
    """Reads ``scheduler_config.json``.

    Args:
        config: its content.
        num_steps: of the walk, where the schedule has as many.
        sampler: given, the config's options of the walk are not read.

    Raises:
        ValueError: an option or a class that cannot be reproduced; named with its value.
    """
    name = str(config.get("_class_name"))
    if name not in _WALKS and name not in _ADAPTED:
        raise ValueError(
            f"the scheduler {name} is not known: possible are {', '.join([*_WALKS, *_ADAPTED])}"
        )
    options = Options(config, name, _DEFAULTS | _OWN_DEFAULTS.get(name, {}))
    schedule = _schedule(options)
    parameterization, variance = _parameterization(options), _variance(options, name)
    bounds = _bounds(options, clips=name in _CLIPS)
    if sampler is None:
        num_steps = min(num_steps, int(schedule.end))
        walk = _WALKS.get(name, _not_native)
        sampler = walk(options, num_steps)
        if sampler is None:
            sampler = _adapter(name, options, num_steps)
            if name == "DDIMScheduler":
                bounds = None  # it clips x0 itself, and keeps the noise that was predicted
        else:
            options.ignore(*_OF_OTHERS)  # a config made from another scheduler's keeps its options
            options.finish()
    return Scheduled(schedule, parameterization, variance, sampler, bounds)


def _schedule(options: Options) -> NoiseSchedule:
    total, name = options.take("num_train_timesteps"), options.take("beta_schedule")
    start, end = options.take("beta_start"), options.take("beta_end")
    options.ignore("tensor_format", "timestep_values")  # of old versions: framework, unused
    betas = options.take("trained_betas")
    makers: dict[str, Callable[[], NoiseSchedule]] = {
        # ours are given at T = 1000 and multiplied by 1000 / T
        "linear": lambda: Linear(total, start * total / 1000, end * total / 1000),
        "scaled_linear": lambda: ScaledLinear(total, start, end),
        "squaredcos_cap_v2": lambda: Cosine(total, **COSINE),
        "sigmoid": lambda: Sigmoid(total, start, end),
    }
    if betas is not None:
        if len(betas) != total:
            raise options.refused("num_train_timesteps", f"there are {len(betas)} trained_betas")
        schedule: NoiseSchedule = FromBetas(list(betas))
    elif name in makers:
        schedule = makers[name]()
    else:
        raise options.refused("beta_schedule", f"possible are {', '.join(makers)}")
    return ZeroTerminalSNR(schedule) if options.take("rescale_betas_zero_snr") else schedule


def _parameterization(options: Options) -> Parameterization:
    kinds: dict[str, Callable[[], Parameterization]] = {
        "epsilon": Epsilon,
        "sample": X0,
        "v_prediction": Velocity,
    }
    kind = options.take("prediction_type")
    if options.take("predict_epsilon") is False:  # an option of old versions
        kind = "sample"
    if kind not in kinds:
        raise options.refused("prediction_type", f"possible are {', '.join(kinds)}")
    return kinds[kind]()


def _variance(options: Options, name: str) -> Variance:
    kinds: dict[Any, Callable[[], Variance]] = {"learned_range": LearnedVariance}
    if name == "DDPMScheduler":
        kinds |= {
            "fixed_small": FixedVariance,
            "fixed_small_log": FixedVariance,  # the same deviation, by way of logarithms
            "fixed_large": lambda: FixedVariance(1.0),
        }
    elif name == "DPMSolverMultistepScheduler":
        kinds |= {None: FixedVariance}
    else:
        return FixedVariance()  # deterministic, or made up from eta: the config names none
    kind = options.take("variance_type")
    if kind not in kinds:
        raise options.refused("variance_type", f"possible are {', '.join(map(str, kinds))}")
    return kinds[kind]()


def _bounds(options: Options, clips: bool) -> list[float] | None:
    options.must_be("thresholding", False)
    options.ignore("dynamic_thresholding_ratio", "sample_max_value")  # of thresholding
    given, limit = options.take("clip_sample"), options.take("clip_sample_range")
    if not clips or given is False:
        return None
    return [-float(limit), float(limit)]


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


def _not_native(options: Options, num_steps: int) -> Sampler | None:
    return None


_OTHER_SIGMAS = (
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "sigma_min",
    "sigma_max",
)
_WALKS: dict[str, Callable[[Options, int], Sampler | None]] = {
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


def _adapter(name: str, options: Options, num_steps: int) -> Sampler:
    """Diffusers' own walk, on our schedule; its betas are the schedule's."""
    plain = {k: v for k, v in options.given.items() if k not in _OF_THE_SCHEDULE}
    if options.take("predict_epsilon") is False:
        plain["prediction_type"] = "sample"
    if name not in _CLIPS:
        plain = {k: v for k, v in plain.items() if k not in ("clip_sample", "clip_sample_range")}
    if name == "DDIMScheduler":
        plain.setdefault("clip_sample", True)  # the adapter's own default is not to clip
    return DiffusersScheduler(num_steps, name, plain)
