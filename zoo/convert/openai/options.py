"""Arguments of ``script_util`` in improved- and guided-diffusion, and their counterparts here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from zoo.convert.arguments import numbers
from zoo.diffusion.clock import DiscreteClock
from zoo.diffusion.objective import Hybrid, Objective, Simple, Vlb
from zoo.sampler import Ancestral, grid
from zoo.schedule import Cosine, Linear, NoiseSchedule

NUM_CLASSES = 1000
"""Of ImageNet: what script_util's ``class_cond`` means."""

NETWORK = {  # script_util's arguments, both repositories' together, with their defaults
    "image_size": 64,
    "num_channels": 128,
    "num_res_blocks": 2,
    "num_heads": 4,
    "num_heads_upsample": -1,
    "num_head_channels": -1,
    "attention_resolutions": "16,8",
    "channel_mult": "",
    "dropout": 0.0,
    "class_cond": False,
    "use_checkpoint": False,
    "use_scale_shift_norm": True,
    "resblock_updown": False,
    "use_new_attention_order": False,
    "learn_sigma": False,
    "num_classes": None,  # not theirs: another number of classes than ImageNet's
    "large_size": None,
    "small_size": None,
}
DIFFUSION = {
    "learn_sigma": False,
    "sigma_small": False,
    "diffusion_steps": 1000,
    "noise_schedule": "linear",
    "timestep_respacing": "",
    "use_kl": False,
    "predict_xstart": False,
    "rescale_timesteps": None,  # the two repositories differ
    "rescale_learned_sigmas": None,
}
CLASSIFIER = {
    "image_size": 64,
    "classifier_width": 128,
    "classifier_depth": 2,
    "classifier_attention_resolutions": "32,16,8",
    "classifier_use_scale_shift_norm": True,
    "classifier_resblock_updown": True,
    "classifier_pool": "attention",
    "num_classes": None,
}
_GUIDED_ONLY = {  # arguments that improved-diffusion does not have
    "channel_mult", "num_head_channels", "resblock_updown", "use_new_attention_order",
}  # fmt: skip
SCRIPTS = {  # arguments of the scripts that say nothing about the model
    "use_fp16", "classifier_use_fp16", "classifier_scale", "classifier_path", "model_path",
    "batch_size", "microbatch", "num_samples", "use_ddim", "clip_denoised", "data_dir", "lr",
    "lr_anneal_steps", "weight_decay", "ema_rate", "schedule_sampler", "fp16_scale_growth",
    "save_interval", "log_interval", "resume_checkpoint", "iterations", "anneal_lr", "noised",
    "val_data_dir", "eval_interval", "base_samples",
}  # fmt: skip
_CHANNEL_MULT: dict[int, tuple[float, ...]] = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
    32: (1, 2, 2, 2),
}
WHAT = "script_util"


def channel_mult(choice: Any, size: int, upsampler: bool = False) -> tuple[float, ...]:
    """The widths that ``script_util`` takes for an image's side, unless the argument has them."""
    if choice not in ("", None):
        return numbers(choice, float)
    if upsampler and size == 512:
        return _CHANNEL_MULT[256]
    if size not in _CHANNEL_MULT:
        raise ValueError(
            f"{WHAT} has no widths for image_size={size}: possible are "
            f"{', '.join(map(str, sorted(_CHANNEL_MULT)))}, or give channel_mult"
        )
    return _CHANNEL_MULT[size]


def sampler(timestep_respacing: Any, steps: int) -> Ancestral:
    """Ancestral sampling of all ``steps`` times, or of those that a respacing string keeps."""
    text = str(timestep_respacing or "").strip()
    if not text:
        return Ancestral(steps)
    if text.startswith("ddim"):
        count = int(text.removeprefix("ddim"))
    else:
        count = sum(numbers(text))
    return Ancestral(count, partial(grid.respaced, sections=text))


def clock(arguments: Mapping[str, Any], config: Mapping[str, Any]) -> DiscreteClock:
    """The network's own time, 0 to T - 1, or scaled to 1000 of them."""
    if _rescales(arguments, config, "rescale_timesteps"):
        return DiscreteClock(1000 / arguments["diffusion_steps"])
    return DiscreteClock()


def schedule(name: str, steps: int) -> NoiseSchedule:
    """The schedule of that name; the linear one is scaled to T steps."""
    if name == "linear":
        return Linear(steps)
    if name == "cosine":
        return Cosine(steps)
    raise ValueError(f"{WHAT} has no noise_schedule '{name}': possible are linear, cosine")


def objective(arguments: Mapping[str, Any], config: Mapping[str, Any]) -> Objective:
    """The objective that the model was trained by."""
    if arguments["use_kl"]:
        return Vlb()
    if not arguments["learn_sigma"]:
        return Simple()
    rescaled = _rescales(arguments, config, "rescale_learned_sigmas")
    # The weight of the bound's term at t: T / 1000 where rescaled, else 1.
    return Hybrid(0.001 if rescaled else 1 / arguments["diffusion_steps"])


def _rescales(arguments: Mapping[str, Any], config: Mapping[str, Any], name: str) -> bool:
    if arguments[name] is None:
        return not _GUIDED_ONLY & config.keys()
    return bool(arguments[name])
