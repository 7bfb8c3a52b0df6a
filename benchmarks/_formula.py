"""Weights and inputs by a formula, the same on every machine and for every implementation."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def values(name: str, *shape: int) -> Tensor:
    """Numbers in (-1, 1), float64, that depend on name, place and nothing else."""
    place = torch.arange(math.prod(shape), dtype=torch.int64)
    mixed = (place * 0x9E3779B1 + zlib.crc32(name.encode())) & _MASK
    mixed = ((mixed ^ (mixed >> 15)) * 0x85EBCA77) & _MASK
    mixed = ((mixed ^ (mixed >> 13)) * 0xC2B2AE3D) & _MASK
    mixed = mixed ^ (mixed >> 16)
    return ((mixed.double() + 0.5) / 2**31 - 1).view(shape)


def weights(shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """A tensor for each name: none is zero, and activations keep their size through layers."""
    made = {}
    for name, shape in shapes.items():
        drawn = values(name, *shape)
        if len(shape) > 1:
            drawn = drawn * math.sqrt(3 / math.prod(shape[1:]))
        elif name.endswith("weight"):
            drawn = 1 + 0.3 * drawn
        elif name.endswith("running_var"):
            drawn = 1.5 + drawn
        made[name] = 0.3 * drawn if name.endswith("bias") else drawn
    return made


def fill(module: torch.nn.Module) -> torch.nn.Module:
    """The module in float64 with all its floating-point state drawn anew."""
    module.double()
    state = module.state_dict()
    floating = {k: v.shape for k, v in state.items() if v.is_floating_point()}
    module.load_state_dict({**state, **weights(floating)})
    return module
