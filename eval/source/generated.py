"""Images that a model generates, batch by batch, with their labels or captions and their cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor

from eval.source.batch import Images
from eval.source.reference_set import ReferenceSet
from zoo.conditioner import Unconditional
from zoo.data.image_set import ImageSet
from zoo.draw import Draw
from zoo.generation import sampling
from zoo.guidance import Guidance, networks
from zoo.guidance import num_classes as labels_of
from zoo.module import DiffusionModule
from zoo.sampler import Sampler

LABELS = ("balanced", "random")
FEWEST = 4
"""Rows of the smallest batch: a CPU has other kernels for fewer, which round differently."""


class Network(Protocol):
    """Anything that counts the rows it evaluates: a model, or a guidance's other network."""

    network_evaluations: int


class Conditions(NamedTuple):
    """The conditions of a set of images: image i's condition and caption depend on i alone.

    Attributes:
        description: of the conditions, for the protocol.
        raw: labels (N,), N captions, or None for an unconditional model.
        captions: what the images should show, or None where there is nothing to compare with.
    """

    description: str
    raw: Tensor | list[str] | None
    captions: list[str] | None

    def of(self, indices: range) -> Tensor | list[str] | None:
        """The raw conditions of consecutive images."""
        return None if self.raw is None else self.raw[indices.start : indices.stop]

    def batch(self, images: Tensor, first: int, seconds: float = 0.0) -> Images:
        """Images ``first`` and following with their labels and captions."""
        rows = slice(first, first + len(images))
        return Images(
            images,
            self.raw[rows] if isinstance(self.raw, Tensor) else None,
            None if self.captions is None else self.captions[rows],
            seconds,
        )


def conditions_of(
    module: DiffusionModule,
    data: ReferenceSet,
    num_images: int,
    guidance: Guidance | None = None,
    labels: str = "balanced",
    seed: int = 0,
) -> Conditions:
    """Classes for a class-conditional model, held-out captions for a text model.

    A guidance that reads labels makes an unconditional model a class-conditional one.

    Args:
        module: the model.
        data: what it is compared with.
        num_images: how many are generated.
        guidance: in place of the model's own.
        labels: "balanced" gives image i class i modulo the number of classes, so that as many
            consecutive images as there are classes have one of each; "random" draws each class
            uniformly, image i's from ``seed`` and i alone. FIDs of the two differ.
        seed: of random labels.

    Raises:
        ValueError: ``labels`` is neither, or a text model finds no captions.
    """
    if labels not in LABELS:
        raise ValueError(f"protocol.labels is one of {', '.join(LABELS)}, got {labels!r}")
    unconditional = isinstance(module.conditioner, Unconditional)
    num_classes = getattr(module.conditioner, "num_classes", None)
    if not num_classes and unconditional:  # a classifier may know what the model does not
        num_classes = labels_of(guidance)
    if num_classes:
        classes, description = _labels(labels, num_classes, num_images, seed)
        sentences = class_captions(data.train, num_classes)
        captions = [sentences[label] for label in classes.tolist()] if sentences else None
        return Conditions(description, classes, captions)
    if unconditional:
        return Conditions("unconditional", None, None)
    if data.test is None or data.test.captions is None:
        raise ValueError(
            f"this model is conditioned on text, but {data.name} has no held-out captions: use "
            "data with captions, such as data=parquet with a caption column, or "
            "held_out=FILE.parquet with one"
        )
    captions = [data.test.captions[i % len(data.test)] for i in range(num_images)]
    return Conditions("image i has the caption of held-out image i", captions, captions)


def _labels(kind: str, num_classes: int, num_images: int, seed: int) -> tuple[Tensor, str]:
    if kind == "balanced":
        labels = torch.arange(num_images) % num_classes
        return labels, f"balanced: image i has class i mod {num_classes}"
    parts = [
        Draw(seed, range(first, min(first + 1024, num_images)), "eval/label").integers(num_classes)
        for first in range(0, num_images, 1024)
    ]
    return torch.cat(parts).long(), f"random: uniform over {num_classes} classes, seed {seed}"


def class_captions(split: ImageSet | None, num_classes: int) -> list[str] | None:
    """Each class's most frequent caption in a split, or None where a class has none."""
    if split is None or split.labels is None or split.captions is None:
        return None
    counts = [Counter[str]() for _ in range(num_classes)]
    for label, caption in zip(split.labels.tolist(), split.captions, strict=True):
        if label < num_classes:
            counts[label][caption] += 1
    if not all(counts):
        return None
    return [count.most_common(1)[0][0] for count in counts]


def parts(first: int, num_images: int, batch_size: int) -> list[range]:
    """The batches in which images ``first`` to ``num_images`` are generated.

    None has fewer than four images, unless there are fewer in all: the last batch includes such a
    remainder.

    >>> parts(0, 15, 7), parts(0, 9, 1)
    ([range(0, 7), range(7, 15)], [range(0, 4), range(4, 9)])
    """
    size = max(FEWEST, batch_size)
    starts = list(range(first, num_images, size))
    if len(starts) > 1 and num_images - starts[-1] < FEWEST:
        starts.pop()
    return [range(a, b) for a, b in pairwise([*starts, num_images])]


def generated(
    module: DiffusionModule,
    conditions: Conditions,
    num_images: int,
    seed: int = 0,
    batch_size: int = 256,
    sampler: Sampler | None = None,
    guidance: Guidance | None = None,
    first: int = 0,
) -> Iterator[Images]:
    """Images of a model from index ``first`` on; image i depends on ``seed`` and i alone."""
    counted = evaluating(module, guidance)
    with sampling(module, num_images - first, batch_size, sampler) as on_step:
        for indices in parts(first, num_images, batch_size):
            started = time.perf_counter()
            with counting(counted) as evaluations:
                what = (len(indices), conditions.of(indices), sampler, guidance, seed)
                images = module.generate(*what, indices=indices, on_step=on_step)
            seconds = time.perf_counter() - started
            # contiguous, as images from a file are: features of another layout round otherwise
            batch = conditions.batch(images.contiguous(), indices.start, seconds)
            yield batch._replace(evaluations=evaluations)


def evaluating(module: DiffusionModule, guidance: Guidance | None) -> dict[str, Network]:
    """The networks that a generation evaluates: "" is the model, the others its guidance's."""
    guiding = networks(guidance if guidance is not None else module.guidance)
    return {"": module, **cast("dict[str, Network]", dict(guiding))}


@contextmanager
def counting(counted: Mapping[str, Network]) -> Iterator[dict[str, int]]:
    """Gives a dict that holds, afterwards, the rows that each network evaluated within."""
    before = {name: network.network_evaluations for name, network in counted.items()}
    rows: dict[str, int] = {}
    yield rows
    rows |= {name: network.network_evaluations - before[name] for name, network in counted.items()}
