"""What a model costs: floating-point operations and parameters, counted on the live modules."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.module import DiffusionModule
from zoo.performance.flops import flops, parameters


class Cost(NamedTuple):
    """Operations per image, and parameters.

    Attributes:
        per_evaluation: operations of one evaluation of the network for one image.
        decode: operations of the first stage's decoder for one image; 0 in pixel space.
        parameters: of the model without its first stage.
        first_stage_parameters: of the first stage.
    """

    per_evaluation: int
    decode: int
    parameters: int
    first_stage_parameters: int


@torch.no_grad()
def cost(module: DiffusionModule, condition: Tensor | list[str] | None = None) -> Cost:
    """The cost of a diffusion model; a multiplication and its addition are two operations.

    Convolutions and matrix products are counted, attention's included; norms and activations, a
    small share, are not. ``condition`` is a batch of one label or caption, None for an
    unconditional model.
    """
    device = next(module.parameters()).device
    was_training, counted = module.training, module.network_evaluations
    module.eval()
    conditioning = module.conditioner(condition).to(device)
    x = torch.zeros(1, *module.latent_shape, device=device)
    level = module.diffusion.schedule(module.diffusion.schedule.end / 2)
    per_evaluation = flops(lambda: module.predict(x, level, conditioning))
    decode = flops(lambda: module.first_stage.decode(x))
    module.train(was_training)
    module.network_evaluations = counted
    first_stage = parameters(module.first_stage)
    return Cost(per_evaluation, decode, parameters(module) - first_stage, first_stage)
