"""Held-out images, each with a pixel model's bound on its likelihood."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from eval.source.batch import Images
from eval.source.dataset import captions_of
from zoo.conditioner import Unconditional
from zoo.data.image_set import ImageSet
from zoo.module import DiffusionModule
from zoo.system.progress import track

FEATURE = "bits_per_dim"


def with_likelihood(
    module: DiffusionModule,
    split: ImageSet,
    num_images: int,
    num_steps: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
) -> Iterator[Images]:
    """Images evenly spaced in a split, with ``bits_per_dim`` (B,) among their features.

    Args:
        module: a pixel model.
        split: held-out images.
        num_images: how many.
        num_steps: of the chain; the schedule's own T when None.
        seed: of the noise, which differs from image to image.
        batch_size: images at a time.

    Raises:
        ValueError: the model reads labels or captions that the images lack.
    """
    indices = torch.linspace(0, len(split) - 1, num_images, dtype=torch.float64).round().long()
    first = 0
    for rows in track(indices.split(batch_size), description="bits per dimension", unit="batches"):
        images = split.gather(rows)
        started = time.perf_counter()
        bits = module.bits_per_dim(
            images.float() / 127.5 - 1,
            _condition(module, split, rows),
            num_steps,
            seed,
            indices=range(first, first + len(rows)),
        )
        seconds = time.perf_counter() - started
        yield Images(images, seconds=seconds, features={FEATURE: bits.cpu()})
        first += len(rows)


def _condition(module: DiffusionModule, split: ImageSet, rows: Tensor) -> Tensor | list[str] | None:
    """The images' labels or captions, whichever the model reads."""
    if isinstance(module.conditioner, Unconditional):
        return None
    if getattr(module.conditioner, "num_classes", None):
        if split.labels is None:
            raise ValueError(_LACKS.format("labels"))
        return split.labels[rows]
    if split.captions is None:
        raise ValueError(_LACKS.format("captions"))
    return captions_of(split, rows)


_LACKS = "bits per dimension of this model need the held-out images' {}, which they lack"
