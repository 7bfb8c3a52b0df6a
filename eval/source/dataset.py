"""Images that are there already: a split of a data set, or stored images, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from eval.source.batch import Images
from zoo.data.image_set import ImageSet
from zoo.draw import Draw


def mixed(count: int, first: int | None = None) -> Tensor:
    """A fixed order of ``count`` images, or its ``first`` ones: (N,) int64.

    It is the same for every model and mixes the classes of a sorted set: sets and blocks of
    neighbours would differ by their classes, and intervals would be too wide.
    """
    generator = Draw(0, [0], "eval/held-out order").generators[0]
    return torch.randperm(count, generator=generator)[:first]


def order_of(split: ImageSet) -> Tensor:
    """The order in which stored images are measured: their own, unless it is by class.

    Images whose labels are sorted, or which lie in several folders, are ``mixed``.
    """
    labels = split.labels
    by_class = labels is not None and bool((labels.diff() >= 0).all()) and labels[0] != labels[-1]
    return mixed(len(split)) if by_class or split.grouped else torch.arange(len(split))


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
        order: indices of the images; their own order when None.
        shuffled: a caption of another image for each place of the order, or None.
    """
    first = 0
    for indices in (torch.arange(len(split)) if order is None else order).split(batch_size):
        last = first + len(indices)
        yield Images(
            split.gather(indices),
            None if split.labels is None else split.labels[indices],
            None
            if split.captions is None
            else [split.captions[index] for index in indices.tolist()],
            shuffled=None if shuffled is None else list(shuffled[first:last]),
        )
        first = last


def shuffled_captions(split: ImageSet) -> list[str] | None:
    """Every caption of a split once, in a fixed order that has nothing to do with its images."""
    if split.captions is None:
        return None
    order = torch.randperm(len(split), generator=Draw(0, [0], "eval/chance").generators[0])
    return [split.captions[index] for index in order.tolist()]
