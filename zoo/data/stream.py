"""The order of training: a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor

from zoo.data.image_set import ImageSet
from zoo.records import Batch, Moments, Raw

T = TypeVar("T")


def to_float(images: Tensor) -> Tensor:
    """uint8 [0, 255] to float32 [-1, 1]."""
    return images.float().div_(127.5).sub_(1.0)


def condition_of(
    images: ImageSet, kind: str, indices: Tensor, choices: Tensor | None = None
) -> Raw:
    """The labels (B,), the captions, or nothing, of the images at ``indices``.

    Of several captions of an image it is the first, or that at its place in ``choices``, (B,) in
    [0, 1).
    """
    if kind == "label":
        assert images.labels is not None
        return images.labels[indices]
    if kind == "caption":
        assert images.captions is not None
        if images.alternatives is not None and choices is not None:
            pairs = zip(indices.tolist(), choices.tolist(), strict=True)
            return [pick(images.alternatives[index], choice) for index, choice in pairs]
        return [images.captions[index] for index in indices.tolist()]
    return None


def pick(captions: tuple[str, ...], choice: float) -> str:
    """The caption at a place in [0, 1)."""
    return captions[int(choice * len(captions))]


def cut(images: Tensor, places: Tensor, side: int) -> Tensor:
    """Squares (B, C, side, side) of images (B, C, H, W), at places (B, 2) in [0, 1)."""
    spare = torch.tensor(images.shape[2:]) - side + 1
    corners = (places * spare).long().tolist()
    return torch.stack(
        [
            image[:, top : top + side, left : left + side]
            for image, (top, left) in zip(images, corners, strict=True)
        ]
    )


class TrainStream:
    """An endless stream of positions in batches: position p is image p mod N of epoch p // N.

    Each epoch has its own order, its own flips, and its own choice among an image's captions where
    there are several, drawn from ``(seed, epoch)`` by the set's ``Shuffle``. Batch k holds
    positions k B to (k + 1) B, so the last batch of an epoch runs into the next one, and a process
    takes its contiguous share of it. Hence the batch at any step can be made without those before
    it.

    Args:
        images: what to train on.
        condition: "label", "caption" or "none".
        batch_size: images per step of all processes together.
        seed: seed of the order and of the flips.
        flip: mirror every image with probability 1/2, drawn in each epoch.
        rank: which process this is.
        world_size: how many processes share a batch.
        length: steps that Lightning calls an epoch; iterating does not stop there.
        start_step: says how many batches were consumed so far, when iteration starts.
        crop: cut a square of this side out of each image, at a place drawn in each epoch.
        moments: what batches hold in place of images.

    Raises:
        ValueError: the batch cannot be shared equally, or the images are smaller than the square.
    """

    def __init__(
        self,
        images: ImageSet,
        condition: str,
        batch_size: int,
        seed: int,
        flip: bool = False,
        rank: int = 0,
        world_size: int = 1,
        length: int | None = None,
        start_step: Callable[[], int] = lambda: 0,
        crop: int | None = None,
        moments: Moments | None = None,
    ) -> None:
        if crop is not None and crop > min(images.shape[1:]):
            raise ValueError(f"squares of {crop} cannot be cut out of images {images.shape}")
        if batch_size < 1 or batch_size % world_size:
            raise ValueError(
                f"batch_size counts the images of all {world_size} processes together and must be "
                f"a positive multiple of their number, got {batch_size}"
            )
        self.images, self.condition, self.batch_size = images, condition, batch_size
        self.seed, self.flip, self.crop, self.moments = seed, flip, crop, moments
        self.rank, self.world_size, self.start_step = rank, world_size, start_step
        self.length = length if length is not None else max(1, len(images) // batch_size)
        self.order = images.shuffle(seed, batch_size)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Batch]:
        batches = self._batches()
        source = self.images if self.moments is None else self.moments
        return batches if source.in_memory else one_ahead(batches)

    def _batches(self) -> Iterator[Batch]:
        step = self.start_step()
        needed = self.order.shares(step * self.batch_size, self.rank, self.world_size)
        with nullcontext() if self.moments else self.images.ahead(needed) as ahead:
            while True:
                yield self.batch(step, ahead)
                step += 1

    def batch(self, step: int, ahead: Any = None) -> Batch:
        """This process's share of the batch at ``step``; ``ahead`` has read it, if anything has."""
        indices, flips = self.positions(step)
        moments = None if self.moments is None else self.moments.train(indices, flips)
        images = None
        if moments is None:
            images, indices = self.images.read(indices, ahead)
            if self.crop is not None:
                images = cut(images, self.places(step), self.crop)
            if self.flip:
                images[flips] = images[flips].flip(-1)
            images = to_float(images)
        choices = None if self.images.alternatives is None else self.choices(step)
        condition = condition_of(self.images, self.condition, indices, choices)
        return Batch(images, condition, moments, indices)

    def positions(self, step: int) -> tuple[Tensor, Tensor]:
        """A step's images, (B,) int64, and whether each is mirrored, (B,) bool."""
        parts = self._parts(step)
        return (
            torch.cat([self.order.indices(*part) for part in parts]),
            torch.cat([self.order.flips(*part) for part in parts]),
        )

    def places(self, step: int) -> Tensor:
        """The places of a step's squares, (B, 2) in [0, 1): down and across."""
        return torch.cat([self.order.places(*part) for part in self._parts(step)])

    def choices(self, step: int) -> Tensor:
        """Which of their captions a step's images have, (B,) in [0, 1): one draw for each image."""
        return torch.cat([self.order.choices(*part) for part in self._parts(step)])

    def _parts(self, step: int) -> list[tuple[int, slice]]:
        """The epochs that this process's share of a batch lies in, and which rows of each."""
        share = self.batch_size // self.world_size
        first = step * self.batch_size + self.rank * share
        last, size = first + share, len(self.images)
        return [
            (epoch, slice(max(first - epoch * size, 0), min(last - epoch * size, size)))
            for epoch in range(first // size, (last - 1) // size + 1)
        ]

    def state_dict(self) -> dict[str, Any]:
        """The settings that fix the order; the position is the trainer's number of batches."""
        names = ("seed", "batch_size", "flip", "crop")
        own = {name: getattr(self, name) for name in names}
        return {"num_images": len(self.images), **own, **self.order.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Compares with the state of the resumed run.

        Raises:
            ValueError: the resumed run would see other batches than the first one.
        """
        for name, now in self.state_dict().items():
            if name in state and state[name] != now:
                raise ValueError(
                    f"this run cannot be resumed: the data had {name}={state[name]}, now {now}; "
                    f"restore it, or start a new run without ckpt_path"
                )


class EvalBatches:
    """A split in its own order, once, in batches of nearly equal size, shared between processes."""

    def __init__(
        self,
        images: ImageSet,
        condition: str,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        moments: Moments | None = None,
    ) -> None:
        self.images = images
        self.condition = condition
        self.moments = moments
        count = -(-len(images) // batch_size)
        # Even parts, not full ones and a rest: every process then has images in every batch, and
        # none waits for another in a reduction.
        whole = torch.arange(len(images)).tensor_split(count)
        self.parts = [part.tensor_split(world_size)[rank] for part in whole]

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Batch]:
        batches = self._batches()
        source = self.images if self.moments is None else self.moments
        return batches if source.in_memory else one_ahead(batches)

    def _batches(self) -> Iterator[Batch]:
        for part in self.parts:
            moments, images, indices = None, None, part
            if self.moments is not None:
                moments = self.moments.test(part)
            else:
                pixels, indices = self.images.read(part)
                images = to_float(pixels)
            condition = condition_of(self.images, self.condition, indices)
            yield Batch(images, condition, moments, indices)


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """Makes the next item in a thread while the last one is used."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(next, items, None)
        while (item := ahead.result()) is not None:
            ahead = pool.submit(next, items, None)
            yield item
