"""The operations that a training makes for one image, counted without making them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zoo.diffusion.clock import times
from zoo.models.noisy_classifier import NoisyClassifier
from zoo.module import DiffusionModule
from zoo.performance.flops import flops_without_data
from zoo.records import Condition
from zoo.trainable import Trainable, evaluation_mode


def training_flops(module: Trainable, data: Any) -> int | None:
    """Operations for one image: a trained network forwards and backwards, a frozen one forwards.

    A backward pass has twice the operations of the forward pass. Convolutions and matrix products
    are counted. Losses (a discriminator, LPIPS), a text encoder and what gradient checkpointing
    computes twice are not.

    Args:
        module: on any device, its weights perhaps without numbers.
        data: the data module, for a label or caption to condition on.

    Returns:
        None where a network cannot run without numbers.
    """
    with evaluation_mode(module):
        try:
            return _encoding(module, data) + 3 * _trained(module, data)
        except (NotImplementedError, RuntimeError, TypeError, ValueError, AttributeError):
            return None  # a user's own network may read values


def _encoding(module: Any, data: Any) -> int:
    """Of the frozen first stage, unless ready latents come in its place."""
    first_stage = getattr(module, "first_stage", None)
    if not isinstance(module, DiffusionModule | NoisyClassifier):
        return 0
    if not isinstance(first_stage, nn.Module) or getattr(data, "moments", None) is not None:
        return 0
    images, encode = torch.zeros(1, *module.image_shape, device="meta"), module.first_stage.moments
    return flops_without_data(first_stage, lambda: encode(images))


def _trained(module: Any, data: Any) -> int:
    if isinstance(module, DiffusionModule | NoisyClassifier):
        x = torch.zeros(1, *module.latent_shape, device="meta")
        level = module.diffusion.schedule(module.diffusion.schedule.end / 2)
        t = times(module.clock, level, x)
        if isinstance(module, NoisyClassifier):
            return flops_without_data(module.network, lambda: module.network(x, t))
        condition = _condition(module, data).to("meta")
        return flops_without_data(module.denoiser, lambda: module.denoiser(x, t, condition))
    images = torch.zeros(1, *data.shape, device="meta")
    if hasattr(module, "encode_image"):  # a CLIP: its text tower sees distinct captions only
        return flops_without_data(module, lambda: module.encode_image(images))
    return flops_without_data(module, lambda: module(images))


@torch.no_grad()
def _condition(module: DiffusionModule, data: Any) -> Condition:
    """The condition of one training image."""
    train = data.train
    if data.condition == "label":
        return module.conditioner(train.labels[:1])
    if data.condition == "caption":
        return module.conditioner(train.captions[:1])
    return module.conditioner(None)
