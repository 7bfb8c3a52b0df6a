"""Held-out images and what an autoencoder makes of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.data.stream import to_float
from zoo.draw import Draw
from zoo.generation import to_uint8

LATENTS = {"mean": "the mean of their latents", "sample": "a draw of their latents"}
"""What may be decoded, and what it is in words."""


class Pairs(NamedTuple):
    """A batch of images and what an autoencoder makes of them, (B, C, H, W) uint8 on the CPU.

    Attributes:
        originals: as they are.
        reconstructions: encoded, decoded and rounded to 8 bits.
        seconds: that encoding and decoding took.
    """

    originals: Tensor
    reconstructions: Tensor
    seconds: float


def is_autoencoder(module: Any) -> bool:
    """Whether a loaded model encodes and decodes images, and generates none.

    >>> from zoo.first_stage import KLAutoencoder
    >>> from zoo.models.autoencoder import Autoencoder
    >>> is_autoencoder(Autoencoder(KLAutoencoder(1, 4, 8, (1, 2), norm_groups=4)))
    True
    """
    first_stage = first_stage_of(module)
    parts = ("moments", "draw", "decode")
    return not hasattr(module, "generate_batches") and all(hasattr(first_stage, p) for p in parts)


def first_stage_of(module: Any) -> Any:
    """The autoencoder of an ``Autoencoder`` in training, or the module itself."""
    return getattr(module, "first_stage", module)


@torch.no_grad()
def reconstructions(
    module: Any,
    split: Any,
    indices: Tensor,
    posterior: str = "mean",
    seed: int = 0,
    batch_size: int = 256,
) -> Iterator[Pairs]:
    """Images of a split and their reconstructions; image i's draw depends on seed and i alone.

    Args:
        module: an ``Autoencoder``, or its first stage; left in the mode it was in.
        split: of a data set.
        indices: of the images (N,).
        posterior: what is decoded, a key of ``LATENTS``.
        seed: of the draws.
        batch_size: images at a time.
    """
    first_stage = first_stage_of(module)
    device, was_training = next(first_stage.parameters()).device, first_stage.training
    first_stage.eval()
    try:
        for some in indices.split(batch_size):
            originals = split.gather(some)
            draw = Draw(seed, some.tolist(), "reconstruction") if posterior == "sample" else None
            started = time.perf_counter()
            moments = first_stage.moments(to_float(originals.to(device)))
            found = to_uint8(first_stage.decode(first_stage.draw(moments, draw))).cpu()
            yield Pairs(originals, found, time.perf_counter() - started)
    finally:
        first_stage.train(was_training)
