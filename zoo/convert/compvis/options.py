"""A latent diffusion's parameters of the diffusion, and their counterparts here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from zoo.conditioner import BERTText, CLIPText
from zoo.convert.arguments import choose
from zoo.convert.compvis.ddpm import plain_linear
from zoo.diffusion.objective import Objective, Simple, SimpleL1
from zoo.diffusion.parameterization import X0, Epsilon
from zoo.guidance import ClassifierFree
from zoo.sampler import DDIM, Ancestral, grid
from zoo.schedule import Cosine, FromBetas, NoiseSchedule, ScaledLinear

LATENT_DIFFUSION: dict[str, Any] = {
    "unet_config": None,
    "first_stage_config": None,
    "cond_stage_config": "__is_unconditional__",
    "image_size": 256,
    "channels": 3,
    "timesteps": 1000,
    "beta_schedule": "linear",
    "linear_start": 1e-4,
    "linear_end": 2e-2,
    "cosine_s": 8e-3,
    "given_betas": None,
    "v_posterior": 0.0,
    "parameterization": "eps",
    "loss_type": "l2",
    "scale_factor": 1.0,
    "cond_stage_trainable": False,
}
UNREAD = {  # how it is trained and logged
    "num_timesteps_cond", "log_every_t", "first_stage_key", "cond_stage_key", "concat_mode",
    "conditioning_key", "cond_stage_forward", "scale_by_std", "monitor", "use_ema", "ckpt_path",
    "ignore_keys", "load_only_unet", "clip_denoised", "original_elbo_weight", "l_simple_weight",
    "scheduler_config", "use_positional_encodings", "learn_logvar", "logvar_init", "ema_decay",
}  # fmt: skip
_SCALES = {BERTText: 5.0, CLIPText: 7.5}  # of guidance, as the repositories' scripts have them
_CLASS_SCALE = 1.5  # the paper's for ImageNet (arXiv:2112.10752, table 3)


def walk(schedule: NoiseSchedule) -> DDIM:
    """The repository's DDIM sampler: 50 steps at times 2, 22, ..., that end at t = 1."""
    times = partial(grid.leading, first=2, stop=1)
    return DDIM(min(50, max(1, int(schedule.end) // 2)), times)


def chain(schedule: NoiseSchedule) -> Ancestral:
    """All times, drawn from the posterior: the sampler of a diffusion of pixels."""
    return Ancestral(int(schedule.end))


def schedule(arguments: Mapping[str, Any]) -> NoiseSchedule:
    """The schedule by its name, or by its betas."""
    if arguments["given_betas"] is not None:
        return FromBetas(list(arguments["given_betas"]))
    name, steps = arguments["beta_schedule"], arguments["timesteps"]
    start, end = arguments["linear_start"], arguments["linear_end"]
    if name == "linear":  # in the square root of beta, whatever its name
        return ScaledLinear(steps, start, end)
    if name == "sqrt_linear":
        return plain_linear(steps, start, end)
    if name == "cosine":
        return Cosine(steps, arguments["cosine_s"])
    raise ValueError(
        f"there is no counterpart of beta_schedule '{name}': possible are linear, sqrt_linear, "
        "cosine"
    )


def parameterization(name: str) -> Epsilon | X0:
    """The meaning of the network's output."""
    kinds: dict[str, type[Epsilon] | type[X0]] = {"eps": Epsilon, "x0": X0}
    return choose(name, kinds, "parameterization")()


def fraction(v_posterior: float) -> float:
    """The variance fraction: 0 the posterior variance, 1 beta."""
    if v_posterior not in (0, 1):
        raise ValueError(
            f"v_posterior={v_posterior} has no counterpart here: variances are mixed by their "
            "logarithms, so possible is 0 or 1"
        )
    return float(v_posterior)


def objective(loss_type: str) -> Objective:
    """The objective that the model was trained by."""
    return choose(loss_type, {"l1": SimpleL1, "l2": Simple}, "loss_type")()


def guidance(conditioner: Any) -> ClassifierFree:
    """The paper's scale for classes, for captions that of the repositories' scripts."""
    return ClassifierFree(_SCALES.get(type(conditioner), _CLASS_SCALE))
