"""Where images to be measured come from: iterables of uint8 batches with what they should show."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.draw import Draw
from zoo.guidance import num_classes as labels_of
from zoo.records import Batch
from zoo.system.progress import sampling


class Images(NamedTuple):
    """A batch of images.

    Attributes:
        images: (B, C, H, W) uint8 on the CPU.
        labels: (B,) int64, or None.
        captions: B sentences, or None.
        seconds: that making them took; 0 for images that were there.
    """

    images: Tensor
    labels: Tensor | None = None
    captions: list[str] | None = None
    seconds: float = 0.0

    def rows(self, start: int, stop: int) -> Images:
        """The images from ``start`` to ``stop``."""
        return Images(
            self.images[start:stop],
            None if self.labels is None else self.labels[start:stop],
            None if self.captions is None else self.captions[start:stop],
        )


def as_batch(images: Images) -> Batch:
    """A batch as metrics take it: the condition is the captions."""
    return Batch(images.images, images.captions)


class Wanted(NamedTuple):
    """What images are generated for: image i's condition and caption depend on i alone.

    Attributes:
        protocol: in words.
        condition: labels (N,), N captions, or None for an unconditional model.
        captions: what the images should show, or None where that is not asked for.
    """

    protocol: str
    condition: Any
    captions: list[str] | None

    def batch(self, images: Tensor, first: int) -> Images:
        """Images ``first`` and following with what they should show."""
        rows = slice(first, first + len(images))
        labels = self.condition if isinstance(self.condition, Tensor) else None
        return Images(
            images,
            None if labels is None else labels[rows],
            None if self.captions is None else self.captions[rows],
        )


LABELS = ("balanced", "random")


def wanted(
    module: Any,
    data: Any,
    num_images: int,
    guidance: Any = None,
    labels: str = "balanced",
    seed: int = 0,
) -> Wanted:
    """Classes for a class-conditional model, held-out captions for a text model.

    A guidance that reads labels makes an unconditional model a class-conditional one.

    Args:
        module: a ``DiffusionModule``.
        data: what it is compared with.
        num_images: how many are generated.
        guidance: in place of the model's own.
        labels: "balanced" gives image i class i modulo the number of classes, so that every run of
            as many images as there are classes is balanced; "random" draws each class uniformly,
            image i's from ``seed`` and i alone. FIDs of the two differ.
        seed: of random labels.

    Raises:
        ValueError: ``labels`` is neither, or a text model finds no captions.
    """
    if labels not in LABELS:
        raise ValueError(f"protocol.labels is one of {', '.join(LABELS)}, got {labels!r}")
    num_classes = getattr(module.conditioner, "num_classes", None)
    if not num_classes and _unconditional(module):  # a classifier may know what the model does not
        num_classes = labels_of(guidance)
    if num_classes:
        chosen, told = _labels(labels, num_classes, num_images, seed)
        sentences = class_captions(data, num_classes)
        captions = [sentences[label] for label in chosen.tolist()] if sentences else None
        return Wanted(told, chosen, captions)
    if _unconditional(module):
        return Wanted("unconditional", None, None)
    if data.test is None or data.test.captions is None:
        raise ValueError(
            f"this model is conditioned on text, but {data.name} has no held-out captions: use "
            "data with captions, such as data=parquet with a caption column, or "
            "held_out=FILE.parquet with one"
        )
    captions = [data.test.captions[i % len(data.test)] for i in range(num_images)]
    return Wanted("image i has the caption of held-out image i", captions, captions)


def _labels(kind: str, num_classes: int, num_images: int, seed: int) -> tuple[Tensor, str]:
    if kind == "balanced":
        labels = torch.arange(num_images) % num_classes
        return labels, f"balanced: image i has class i mod {num_classes}"
    parts = [
        Draw(seed, range(first, min(first + 1024, num_images)), "eval/label").integers(num_classes)
        for first in range(0, num_images, 1024)
    ]
    return torch.cat(parts).long(), f"random: uniform over {num_classes} classes, seed {seed}"


def _unconditional(module: Any) -> bool:
    return type(module.conditioner).__name__ == "Unconditional"


def class_captions(data: Any, num_classes: int) -> list[str] | None:
    """Each class's most frequent caption in the training split, or None where there is none."""
    split = data.train
    if split is None or split.labels is None or split.captions is None:
        return None
    counts = [Counter[str]() for _ in range(num_classes)]
    for label, caption in zip(split.labels.tolist(), split.captions, strict=True):
        if label < num_classes:
            counts[label][caption] += 1
    if not all(counts):
        return None
    return [count.most_common(1)[0][0] for count in counts]


FEWEST = 4
"""Rows of the smallest batch: fewer take other kernels on a CPU, whose rounding is another."""


def parts(first: int, num_images: int, batch_size: int) -> list[range]:
    """The batches that images ``first`` to ``num_images`` are made in.

    None has fewer than four images, unless there are fewer in all: the last one takes a remainder
    of so few in.

    >>> parts(0, 15, 7), parts(0, 9, 1)
    ([range(0, 7), range(7, 15)], [range(0, 4), range(4, 9)])
    """
    size = max(FEWEST, batch_size)
    starts = list(range(first, num_images, size))
    if len(starts) > 1 and num_images - starts[-1] < FEWEST:
        starts.pop()
    return [range(a, b) for a, b in pairwise([*starts, num_images])]


def generated(
    module: Any,
    want: Wanted,
    num_images: int,
    seed: int = 0,
    batch_size: int = 256,
    sampler: Any = None,
    guidance: Any = None,
    first: int = 0,
) -> Iterator[Images]:
    """Images of a model from index ``first`` on; image i depends on ``seed`` and i alone."""
    with sampling(module, num_images - first, batch_size, sampler) as on_step:
        for indices in parts(first, num_images, batch_size):
            started = time.perf_counter()
            condition = want.condition
            if condition is not None:
                condition = condition[indices.start : indices.stop]
            count = len(indices)
            (images,) = module.generate_batches(
                count, condition, sampler, guidance, seed, count, indices=indices, on_step=on_step
            )
            seconds = time.perf_counter() - started
            yield want.batch(images, indices.start)._replace(seconds=seconds)


def mixed(count: int, wanted: int | None = None) -> Tensor:
    """A fixed order of ``count`` images, or its first ``wanted``: (N,) int64.

    It is the same for every model and mixes the classes of a sorted set: sets and blocks of
    neighbours would differ by their classes, and intervals would be too wide.
    """
    generator = Draw(0, [0], "eval/held-out order").generators[0]
    return torch.randperm(count, generator=generator)[:wanted]


def order_of(split: Any) -> Tensor:
    """The order in which images that were there are measured: their own, unless it is by class.

    Images whose labels are sorted, or which lie in several folders, are ``mixed``.
    """
    labels = split.labels
    by_class = labels is not None and bool((labels.diff() >= 0).all()) and labels[0] != labels[-1]
    if by_class or getattr(split, "num_folders", 1) > 1:
        return mixed(len(split))
    return torch.arange(len(split))


def from_dataset(
    split: Any, batch_size: int = 256, order: Tensor | None = None
) -> Iterator[Images]:
    """A split of a data set, in its own order or another."""
    for indices in (torch.arange(len(split)) if order is None else order).split(batch_size):
        captions = None
        if split.captions is not None:
            captions = [split.captions[index] for index in indices.tolist()]
        labels = None if split.labels is None else split.labels[indices]
        yield Images(split.gather(indices), labels, captions)
