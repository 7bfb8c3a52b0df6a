"""Refuses what a U-Net cannot take, before a layer fails with less to say."""

from __future__ import annotations

import inspect
from typing import Protocol

import torch
from torch import Tensor, nn

from zoo.layers.stage import check_sides
from zoo.records import Condition


class InputSizes(Protocol):
    """The sizes of a ``UNet`` that its inputs must have; see there."""

    downsampling: int
    in_channels: int
    embedding_dim: int
    context_dim: int | None
    num_classes: int | None


def check_input(sizes: InputSizes, x: Tensor, condition: Condition) -> None:
    """Raises ValueError for a noisy x (B, C, H, W) or a condition that does not fit the network."""
    check_sides(x.shape[2], x.shape[3], sizes.downsampling)
    if x.shape[1] != sizes.in_channels:
        raise ValueError(
            f"the U-Net takes {sizes.in_channels} channels (a condition's image included), "
            f"got {x.shape[1]}"
        )
    got = None if condition.tokens is None else tuple(condition.tokens.shape)
    if (None if got is None else got[-1]) != sizes.context_dim:
        width = sizes.context_dim
        expected = "no tokens" if width is None else f"tokens {width} wide"
        raise ValueError(f"the U-Net's condition has {expected}, got {got or 'none'}")
    _check_vector(condition.vector, sizes.num_classes, sizes.embedding_dim)


def _check_vector(vector: Tensor | None, num_classes: int | None, embedding_dim: int) -> None:
    if vector is None or not vector.is_floating_point():
        if (vector is None) != (num_classes is None):
            expected = "no labels" if num_classes is None else "labels in condition.vector"
            raise ValueError(f"a U-Net with num_classes={num_classes} takes {expected}")
    elif vector.shape[1:] != (embedding_dim,):
        raise ValueError(
            f"a float condition.vector must be (B, {embedding_dim}), got {tuple(vector.shape)}"
        )
    # On an accelerator looking would stall the queue; its own kernel asserts there.
    if num_classes is None or vector is None or vector.is_floating_point():
        return
    if vector.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = vector.aminmax()
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"labels must lie in [0, {num_classes - 1}], got {int(low)} to {int(high)}"
            )


def check_call(denoiser: nn.Module) -> None:
    """Raises ValueError where a module cannot be called as a denoiser is."""
    try:
        inspect.signature(denoiser.forward).bind("x", "t", "condition")
    except TypeError as error:
        raise ValueError(
            f"a denoiser is called as denoiser(x, t, condition), which {type(denoiser).__name__} "
            f"does not take: {error}"
        ) from None
