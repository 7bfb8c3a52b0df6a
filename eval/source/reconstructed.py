"""Held-out images and an autoencoder's reconstructions of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from eval.source.batch import Images
from zoo.data.image_set import ImageSet
from zoo.data.stream import to_float
from zoo.draw import Draw
from zoo.generation import to_uint8

LATENTS = {"mean": "the mean of their latents", "sample": "a draw of their latents"}
"""The latents that may be decoded, with their descriptions."""


def first_stage_of(module: nn.Module) -> Any:
    """The first stage inside an ``Autoencoder``, or the module itself.

    Raises:
        ValueError: the module has no ``moments``, ``draw`` and ``decode``.
    """
    first_stage = getattr(module, "first_stage", module)
    if not all(hasattr(first_stage, part) for part in ("moments", "draw", "decode")):
        raise ValueError(f"a {type(module).__name__} neither generates nor reconstructs images")
    return first_stage


@torch.no_grad()
def reconstructed(
    module: nn.Module,
    split: ImageSet,
    indices: Tensor,
    posterior: str = "mean",
    seed: int = 0,
    batch_size: int = 256,
) -> Iterator[Images]:
    """Reconstructions of a split's images, with their originals.

    Image i's draw depends on seed and i alone.

    Args:
        module: an ``Autoencoder``, or its first stage; its mode is restored.
        split: of a data set.
        indices: of the images (N,).
        posterior: a key of ``LATENTS``.
        seed: of the draws.
        batch_size: images at a time.
    """
    first_stage = first_stage_of(module)
    device, was_training = next(first_stage.parameters()).device, first_stage.training
    first_stage.eval()
    try:
        for rows in indices.split(batch_size):
            originals = split.gather(rows)
            draw = Draw(seed, rows.tolist(), "reconstruction") if posterior == "sample" else None
            started = time.perf_counter()
            moments = first_stage.moments(to_float(originals.to(device)))
            images = to_uint8(first_stage.decode(first_stage.draw(moments, draw))).cpu()
            yield Images(images, seconds=time.perf_counter() - started, originals=originals)
    finally:
        first_stage.train(was_training)
