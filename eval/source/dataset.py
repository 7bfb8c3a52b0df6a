"""Images of a data set's split, or stored ones, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from eval.source.batch import Images
from zoo.data.image_set import ImageSet
from zoo.data.shards.streamed_set import StreamedSet
from zoo.data.stream import one_ahead
from zoo.draw import Draw


def mixed(count: int, first: int | None = None) -> Tensor:
    """A fixed order of ``count`` images, or its ``first`` ones: (N,) int64.

    It is the same for every model and mixes the classes of a sorted set: consecutive sets and
    blocks would otherwise differ by their classes, and intervals would be too wide.
    """
    generator = Draw(0, [0], "eval/held-out order").generators[0]
    return torch.randperm(count, generator=generator)[:first]


def order_of(split: ImageSet) -> Tensor:
    """The order in which stored images are measured: their own, unless it is by class.

    Images whose labels are sorted, or which are in several folders, are ``mixed``.
    """
    labels = split.labels
    by_class = labels is not None and bool((labels.diff() >= 0).all()) and labels[0] != labels[-1]
    if not by_class and not split.grouped:
        return torch.arange(len(split))
    if isinstance(split, StreamedSet):  # in windows: images all over a set are read slowly
        return split.shuffle(0, batch_size=1).indices(0, slice(0, len(split)))
    return mixed(len(split))


def from_dataset(
    split: ImageSet,
    batch_size: int = 256,
    order: Tensor | None = None,
    shuffled: Sequence[str] | None = None,
) -> Iterator[Images]:
    """A split of a data set, in its own order or another.

    Args:
        split: the images.
        batch_size: images at a time.
        order: indices of the images (N,); their own order when None.
        shuffled: N captions of other images, or None.
    """
    batches = _batches(split, batch_size, order, shuffled)
    return batches if split.in_memory else one_ahead(batches)


def _batches(
    split: ImageSet, batch_size: int, order: Tensor | None, shuffled: Sequence[str] | None
) -> Iterator[Images]:
    first = 0
    for indices in (torch.arange(len(split)) if order is None else order).split(batch_size):
        last = first + len(indices)
        images, indices = split.read(indices)
        yield Images(
            images,
            None if split.labels is None else split.labels[indices],
            captions_of(split, indices),
            shuffled=None if shuffled is None else list(shuffled[first:last]),
        )
        first = last


def captions_of(split: ImageSet, indices: Tensor) -> list[str] | None:
    """The captions of some images of a split, or None where it has none."""
    captions = split.captions
    return None if captions is None else [captions[index] for index in indices.tolist()]


def shuffled_captions(split: ImageSet) -> list[str] | None:
    """Every caption of a split once, in a fixed order unrelated to its images."""
    generator = Draw(0, [0], "eval/chance").generators[0]
    return captions_of(split, torch.randperm(len(split), generator=generator))
