"""The parts of a latent-diffusion checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.checkpoint.fit import name_list
from zoo.convert.keys import without
from zoo.convert.weights import Weights
from zoo.schedule import NoiseSchedule

UNET, FIRST, CONDITION = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."
_BUFFERS = {
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2", "lvlb_weights", "logvar", "scale_factor",
}  # fmt: skip
_LOSS = "loss."


class Parts(NamedTuple):
    """A checkpoint taken apart; each part's keys without its prefix.

    Attributes:
        unet: of ``model.diffusion_model.``.
        first_stage: of ``first_stage_model.``, without a loss's weights.
        conditioner: of ``cond_stage_model.``.
        buffers: the schedule's tables and the scale factor.
        origin: for the provenance: which weights these are.
    """

    unet: dict[str, Tensor]
    first_stage: dict[str, Tensor]
    conditioner: dict[str, Tensor]
    buffers: dict[str, Tensor]
    origin: dict[str, Any]


def parts(weights: Weights) -> Parts:
    """Takes a checkpoint apart.

    Raises:
        ValueError: there are keys of no part.
    """
    buffers = {key: value for key, value in weights.items() if key in _BUFFERS}
    strays = [
        key
        for key in weights
        if key not in _BUFFERS and not key.startswith((UNET, FIRST, CONDITION))
    ]
    if strays:
        raise ValueError(f"compvis checkpoint: surplus {name_list(strays)}")
    return Parts(
        without(weights, UNET),
        without(weights, FIRST, drop=(_LOSS,)),
        without(weights, CONDITION),
        buffers,
        weights.origin,
    )


def autoencoder_weights(state: Weights) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An autoencoder's own weights, without those of its loss, and which they are."""
    own, origin = without(state, "", drop=(_LOSS,)), dict(state.origin)
    return own, origin | {"left_out": "the loss"} if len(own) < len(state) else origin


def check_schedule(schedule: NoiseSchedule, buffers: Mapping[str, Tensor]) -> None:
    """Refuses a config whose schedule is not the file's.

    Raises:
        ValueError: shows the first and last alpha^2 of both.
    """
    table = buffers.get("alphas_cumprod")
    if table is None:
        return
    theirs = table.double().flatten()
    times = torch.arange(1, int(schedule.end) + 1, dtype=torch.float64)
    ours = schedule.log_snr(times).sigmoid()
    if theirs.shape != ours.shape or not torch.allclose(ours, theirs, rtol=1e-4, atol=1e-7):
        raise ValueError(
            f"the config's schedule has alphas_cumprod {ours[0]:.6g} to {ours[-1]:.6g} in "
            f"{len(ours)} steps, the file's {theirs[0]:.6g} to {theirs[-1]:.6g} in {len(theirs)}: "
            "set beta_schedule, linear_start, linear_end and timesteps to those of its training"
        )
