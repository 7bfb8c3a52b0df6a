"""Which parts go together: refused here, when a model is put together, with the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.guidance import networks
from zoo.guiding_network import check_network

if TYPE_CHECKING:
    from zoo.guidance import Guidance
    from zoo.module import DiffusionModule


def check_parts(module: DiffusionModule) -> None:
    """Raises ValueError where the parts of ``module`` cannot work together."""
    _check_latents(module)
    _check_conditions(module)
    check_own_guidance(module.guidance)
    check_guidance(module, module.guidance)


def check_own_guidance(guidance: Guidance) -> None:
    """Raises ValueError where a model's default guidance holds a network: it would not be saved."""
    for name, network in networks(guidance):
        raise ValueError(
            f"a model's own guidance cannot hold another network ({name}, a "
            f"{type(network).__name__}): hand it to generate(guidance=...), or to zoo sample and "
            f"zoo evaluate as guidance=... guidance.{name}=FILE"
        )


def check_guidance(module: DiffusionModule, guidance: Guidance, negative: bool = False) -> None:
    """Raises ValueError where ``guidance`` needs what the model, or another network, lacks.

    Args:
        module: the model that is guided.
        guidance: how.
        negative: whether conditions are given in place of the null condition.
    """
    if guidance.needs_null and module.conditioner.dropout == 0 and not negative:
        raise ValueError(
            f"guidance scale {getattr(guidance, 'scale', '?')} mixes in the null condition, which "
            f"this {type(module).__name__} was never trained on (conditioner.dropout is 0): "
            "use guidance.scale=1, or train with conditioner.dropout=0.1"
        )
    for name, network in networks(guidance):
        check_network(module, name, network)


def _check_latents(module: DiffusionModule) -> None:
    channels, *size = module.latent_shape
    denoiser = module.denoiser
    beside = getattr(module.conditioner, "image_channels", 0)
    _same(
        "denoiser.in_channels",
        getattr(denoiser, "in_channels", None),
        channels + beside,
        "the channels of what is diffused" + (" and of the condition's image" if beside else ""),
    )
    factor = module.diffusion.variance.channels_factor
    _same(
        "denoiser.out_channels",
        getattr(denoiser, "out_channels", None),
        channels * factor,
        f"{channels} channels with {type(module.diffusion.variance).__name__}",
    )
    downsampling = getattr(denoiser, "downsampling", 1)
    if any(edge % downsampling for edge in size):
        raise ValueError(
            f"the denoiser halves its input {int(np.log2(downsampling))} times, which {size[0]} x "
            f"{size[1]} does not allow: use sizes divisible by {downsampling}, or fewer entries in "
            "channel_mult"
        )


def _check_conditions(module: DiffusionModule) -> None:
    conditioner, denoiser = module.conditioner, module.denoiser
    rows = getattr(conditioner, "num_rows", None)
    table = getattr(denoiser, "num_classes", None)
    if rows is not None and hasattr(denoiser, "num_classes") and (table is None or table < rows):
        raise ValueError(
            f"{type(conditioner).__name__} has {rows} labels (null label included) but the "
            f"denoiser's label table has {table or 'no'} rows: set denoiser.num_classes={rows}"
        )
    if table is not None and rows is None:
        raise ValueError(
            f"the denoiser has a table of {table} labels but {type(conditioner).__name__} gives "
            "none: set denoiser.num_classes=null, or use conditioner ClassLabel"
        )
    dim = getattr(conditioner, "dim", None)
    if hasattr(denoiser, "context_dim") and dim != denoiser.context_dim:
        raise ValueError(
            f"denoiser.context_dim is {denoiser.context_dim} but {type(conditioner).__name__} "
            f"gives {'no tokens' if dim is None else f'tokens of width {dim}'}: make the two equal"
        )


def _same(name: str, got: Any, wanted: int, why: str) -> None:
    if got is not None and got != wanted:
        raise ValueError(f"{name} is {got} but must be {wanted} ({why}): set {name}={wanted}")
