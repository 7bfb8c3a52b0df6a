"""A diffusers scheduler's config: schedule, parameterization, variance, and the walk it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.convert.diffusers.options import Options
from zoo.convert.diffusers.sampler import CLIPS, OF_OTHERS, WALKS, adapter
from zoo.diffusion.parameterization import X0, Epsilon, Parameterization, Velocity
from zoo.diffusion.variance import FixedVariance, LearnedVariance, Variance
from zoo.sampler import Sampler
from zoo.schedule import (
    Cosine,
    FromBetas,
    Linear,
    NoiseSchedule,
    ScaledLinear,
    Sigmoid,
    ZeroTerminalSNR,
)

PREDICTIONS: dict[str, type[Epsilon] | type[X0] | type[Velocity]] = {
    "epsilon": Epsilon, "sample": X0, "v_prediction": Velocity,
}  # fmt: skip
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
    "DEISMultistepScheduler", "DPMSolverSinglestepScheduler", "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LMSDiscreteScheduler",
    "UniPCMultistepScheduler",
)  # fmt: skip


@dataclass(frozen=True)
class Scheduled:
    """The content of a scheduler's config.

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
        sampler: replaces the config's walk, whose options are then not read.

    Raises:
        ValueError: an option or a class that cannot be reproduced; named with its value.
    """
    name = str(config.get("_class_name"))
    if name not in WALKS and name not in _ADAPTED:
        raise ValueError(
            f"the scheduler {name} is not known: possible are {', '.join([*WALKS, *_ADAPTED])}"
        )
    options = Options(config, name, _DEFAULTS | _OWN_DEFAULTS.get(name, {}))
    schedule = _schedule(options)
    parameterization, variance = _parameterization(options), _variance(options, name)
    bounds = _bounds(options, clips=name in CLIPS)
    if sampler is None:
        num_steps = min(num_steps, int(schedule.end))
        walk = WALKS.get(name)
        sampler = None if walk is None else walk(options, num_steps)
        if sampler is None:
            sampler = adapter(name, options, num_steps)
            if name == "DDIMScheduler":
                bounds = None  # it clips x0 itself, and keeps the noise that was predicted
        else:
            options.ignore(*OF_OTHERS)  # a config made from another scheduler's keeps its options
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
            raise options.refusal("num_train_timesteps", f"there are {len(betas)} trained_betas")
        schedule: NoiseSchedule = FromBetas(list(betas))
    elif name in makers:
        schedule = makers[name]()
    else:
        raise options.refusal("beta_schedule", f"possible are {', '.join(makers)}")
    return ZeroTerminalSNR(schedule) if options.take("rescale_betas_zero_snr") else schedule


def _parameterization(options: Options) -> Parameterization:
    kind = options.take("prediction_type")
    if options.take("predict_epsilon") is False:  # an option of old versions
        kind = "sample"
    if kind not in PREDICTIONS:
        raise options.refusal("prediction_type", f"possible are {', '.join(PREDICTIONS)}")
    return PREDICTIONS[kind]()


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
        raise options.refusal("variance_type", f"possible are {', '.join(map(str, kinds))}")
    return kinds[kind]()


def _bounds(options: Options, clips: bool) -> list[float] | None:
    options.must_be("thresholding", False)
    options.ignore("dynamic_thresholding_ratio", "sample_max_value")  # of thresholding
    clip, limit = options.take("clip_sample"), options.take("clip_sample_range")
    if not clips or clip is False:
        return None
    return [-float(limit), float(limit)]
