"""Checks that parts go together, when a model is built; errors name the remedy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import nn

from zoo.conditioner import is_conditional
from zoo.denoiser.check_input import check_call
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.first_stage import FirstStage
from zoo.generation import Model
from zoo.guidance import Guidance, networks, num_classes
from zoo.records import Condition, check_image_shape
from zoo.schedule import NoiseSchedule

_LEVELS = 9  # of two schedules that are compared


class Network(Protocol):
    """A classifier or a weaker model, as the checks of a guidance see it."""

    first_stage: FirstStage
    diffusion: GaussianDiffusion

    @property
    def image_shape(self) -> Sequence[int]:
        """(C, H, W)."""

    @property
    def latent_shape(self) -> Sequence[int]:
        """(C, h, w)."""


def check_parts(module: Model) -> None:
    """Raises ValueError where the parts of ``module`` cannot work together."""
    check_image_shape(module.image_shape)
    check_call(module.denoiser)
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


def check_guidance(module: Model, guidance: Guidance, negative: bool = False) -> None:
    """Raises ValueError where ``guidance`` needs what the model, or another network, lacks.

    ``negative`` says whether conditions stand in place of the null condition.
    """
    kind, scale = type(module).__name__, getattr(guidance, "scale", "?")
    reads = is_conditional(module.conditioner)
    if negative and not (guidance.needs_null and reads):
        reason = f"{type(guidance).__name__} at scale {scale} does not use"
        if not reads:
            reason = f"this unconditional {kind} does not have"
        raise ValueError(
            f"negative conditions replace the null condition, which {reason}: leave them out"
            + ", or use guidance=classifier_free with another scale than 1" * reads
        )
    if guidance.needs_null and module.conditioner.dropout == 0 and not negative:
        raise ValueError(
            f"guidance scale {scale} mixes in the null condition, which this {kind} was never "
            "trained on (conditioner.dropout is 0): use guidance.scale=1, or train with "
            "conditioner.dropout=0.1"
        )
    for name, network in networks(guidance):
        check_network(module, name, network)


def check_condition(module: Model, condition: object, guidance: Guidance) -> None:
    """Raises ValueError for labels or captions that nothing would read.

    Args:
        module: the model, which reads none where it is unconditional.
        condition: labels, captions, or None; a ready ``Condition`` is the denoiser's own affair.
        guidance: whose networks may read them.
    """
    if condition is None or isinstance(condition, Condition):
        return
    readers = [module, *(network for _, network in networks(guidance))]
    conditioners = [r.conditioner for r in readers if hasattr(r, "conditioner")]
    if num_classes(guidance) is None and not any(map(is_conditional, conditioners)):
        raise ValueError(
            f"this {type(module).__name__} is unconditional and {type(guidance).__name__} reads "
            "no conditions either: leave condition out, or guide with guidance=classifier"
        )


def _check_latents(module: Model) -> None:
    channels, *size = module.latent_shape
    denoiser, variance = module.denoiser, module.diffusion.variance
    beside = getattr(module.conditioner, "image_channels", 0)
    image = " and of the condition's image" if beside else ""
    outputs = f"{channels} channels with {type(variance).__name__}"
    for name, expected, reason in (
        ("in_channels", channels + beside, f"the channels of what is diffused{image}"),
        ("out_channels", channels * variance.channels_factor, outputs),
    ):
        value = getattr(denoiser, name, None)
        if value is not None and value != expected:
            raise ValueError(
                f"denoiser.{name} is {value} but must be {expected} ({reason}): "
                f"set denoiser.{name}={expected}"
            )
    downsampling: int = getattr(denoiser, "downsampling", 1)
    if any(edge % downsampling for edge in size):
        raise ValueError(
            f"the denoiser halves its input {int(np.log2(downsampling))} times, which {size[0]} x "
            f"{size[1]} does not allow: use sizes divisible by {downsampling}, or fewer entries in "
            "channel_mult"
        )


def _check_conditions(module: Model) -> None:
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


def check_network(module: Model, name: str, network: Network) -> None:
    """Refuses a guiding network, a classifier or a weaker model, that is for another model.

    It has to know the model's images, latent space, noise levels and labels.

    Args:
        module: the diffusion model that is guided.
        name: what the guidance calls the network, "classifier" or "weak".
        network: the classifier or weaker model.

    Raises:
        ValueError: names what differs and the remedy.
    """
    _check_space(module, name, network)
    _check_schedule(module, name, network)
    _check_labels(module, name, network)


def _check_space(module: Model, name: str, network: Network) -> None:
    channels = module.image_shape[0]
    if list(network.image_shape) != list(module.image_shape):
        raise ValueError(
            f"guidance.{name} is for images {tuple(network.image_shape)}, the model draws "
            f"{tuple(module.image_shape)}: train one with data.image_size={module.image_shape[-1]}"
            + (f" data.channels={channels}" if network.image_shape[0] != channels else "")
        )
    if tuple(network.latent_shape) != tuple(module.latent_shape):
        remedy = "without an autoencoder"
        if isinstance(module.first_stage, nn.Module):
            remedy = "with model.first_stage=null autoencoder=FILE of the model's"
        raise ValueError(
            f"guidance.{name} knows {_space(network)}, the model works in {_space(module)}: train "
            f"one in that space, {remedy}"
        )
    if not same_first_stage(network.first_stage, module.first_stage):
        raise ValueError(
            f"guidance.{name} knows the latents of another autoencoder than the model's: train "
            "one with autoencoder=FILE of the model's"
        )


def _check_schedule(module: Model, name: str, network: Network) -> None:
    ours, theirs = module.diffusion.schedule, network.diffusion.schedule
    if not same_levels(ours, theirs):
        raise ValueError(
            f"guidance.{name} was trained on the noise levels of {_schedule(theirs)}, the model on "
            f"those of {_schedule(ours)}: train one with the model's schedule"
        )


def _check_labels(module: Model, name: str, network: Network) -> None:
    own = getattr(module.conditioner, "num_classes", None)
    reads = getattr(network, "conditioner", network)
    classes = getattr(reads, "num_classes", None)
    if classes is not None and own is not None and classes != own:
        raise ValueError(
            f"guidance.{name} knows {classes} classes, the model {own}: use one of the same labels"
        )
    texts = [getattr(c, "reads_captions", False) for c in (reads, module.conditioner)]
    if (classes is not None and texts[1]) or (texts[0] and own is not None):
        kinds = [f"captions, guidance.{name} labels", f"labels, guidance.{name} captions"]
        raise ValueError(
            f"the model reads {kinds[bool(texts[0])]}: both must read the same conditions"
        )


def same_levels(a: NoiseSchedule, b: NoiseSchedule) -> bool:
    """Whether two schedules have the same noise at the same times."""
    if a.end != b.end:
        return False
    times = torch.linspace(0.1, 1.0, _LEVELS, dtype=torch.float64) * a.end
    pairs = zip(a.levels(times.tolist()), b.levels(times.tolist()), strict=True)
    return all(
        math.isclose(x, y, rel_tol=1e-6)
        for p, q in pairs
        for x, y in ((p.alpha, q.alpha), (p.sigma, q.sigma))
    )


def same_first_stage(a: FirstStage, b: FirstStage) -> bool:
    """Whether two first stages have one latent space; weights kept in half precision count too."""
    if a is b:
        return True
    if not isinstance(a, nn.Module) or not isinstance(b, nn.Module):
        return type(a) is type(b)
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(
        value.shape == theirs[key].shape
        and torch.allclose(value.double(), theirs[key].to(value.device).double(), 2e-3, 1e-6)
        for key, value in ours.items()
    )


def _space(network: Network) -> str:
    kind = "latents" if isinstance(network.first_stage, nn.Module) else "pixels"
    return f"{kind} {tuple(network.latent_shape)}"


def _schedule(schedule: NoiseSchedule) -> str:
    return f"{type(schedule).__name__} with {schedule.end:g} times"
