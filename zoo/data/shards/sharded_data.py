"""The base of data sets in shards: in memory where they fit, streamed where they do not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from zoo.data.decode import ImageDecoder
from zoo.data.encoded_data import EncodedData
from zoo.data.image_set import ImageSet
from zoo.data.rows import Rows, classes
from zoo.data.shards.source import Sample, Shards
from zoo.data.shards.split import HeldOut, Split
from zoo.data.shards.streamed_set import StreamedSet
from zoo.data.source.values import captions, image_bytes

_STRETCH = 256  # samples read at a time where all are read in order
_THREADS = 4


class ShardedData(EncodedData):
    """A data set of tar or parquet shards, of any size.

    Both splits together are decoded into memory where they are no larger than ``memory_limit_gb``,
    as every other set. Above it they are streamed: see ``StreamedSet`` and ``docs/data.md``.

    Args:
        train_shards: paths, addresses or patterns of them.
        test_shards: likewise; None holds ``test_fraction`` out: in memory at random, class by
            class, streamed by a hash of each sample's shard and number.
        columns: of images, labels and captions.
        shuffle_window: samples that a streamed set mixes while it trains, about.
        options: see ``EncodedData`` and ``ImageData``.
    """

    kind: ClassVar[type[Shards]]

    def __init__(
        self,
        train_shards: str | Sequence[str],
        test_shards: str | Sequence[str] | None,
        columns: tuple[str, str | None, str | None],
        shuffle_window: int = 8192,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if shuffle_window < 1:
            raise ValueError(f"shuffle_window is positive, got {shuffle_window}")
        self.train_shards, self.test_shards, self.columns = train_shards, test_shards, columns
        self.shuffle_window = shuffle_window

    def prepare_data(self) -> None:
        """Indexes the shards once, before other processes of this machine need it."""
        self._open()

    def load(self) -> tuple[ImageSet, ImageSet]:
        train, test = self._open()
        size = max(self.image_size, self.crop_from or 0)
        total = int(train.counts.sum()) + (0 if test is None else int(test.counts.sum()))
        if total * self.channels * size**2 <= self.decoder.memory_limit:
            return super().load()
        return self._streamed(train, test)

    def rows(self) -> tuple[Rows, Rows | None]:
        train, test = self._open()
        return self._rows(train), None if test is None else self._rows(test)

    def _open(self) -> tuple[Shards, Shards | None]:
        if not hasattr(self, "_shards"):
            train, test = (
                None if shards is None else self.kind(shards, *self.columns, first=_place_in_job())
                for shards in (self.train_shards, self.test_shards)
            )
            assert train is not None
            self._shards = train, test
        return self._shards

    def _rows(self, shards: Shards) -> Rows:
        split = Split(shards)
        _check_images(self, split)
        texts = None
        if shards.caption is not None:
            held = _InOrder(split, images=False)
            values = [held.sample(i).caption for i in range(len(split))]
            texts = captions(values, split.where, shards.caption)
        images = _InOrder(split, images=True, limit=self.decoder.memory_limit)
        return Rows(
            count=len(split),
            read=lambda index: image_bytes(images.sample(index).image),
            where=split.where,
            labels=split.label_values(),
            captions=texts,
        )

    def _streamed(self, train: Shards, test: Shards | None) -> tuple[ImageSet, ImageSet]:
        parts = [HeldOut(self.test_fraction, self.split_seed, part) for part in (False, True)]
        if test is None:
            splits = [Split(train, part) for part in parts]
            rest, held_out = map(len, splits)
            if not rest or not held_out:
                raise ValueError(
                    f"test_fraction={self.test_fraction} of {rest + held_out} images leaves "
                    f"{held_out} to test and {rest} to train; both need at least one"
                )
        else:
            splits = [Split(train), Split(test)]
        values = [split.shards.label_values for split in splits]
        if (values[0] is None) != (values[1] is None):
            raise ValueError(f"{self.name}: one of train and test has labels, the other has not")
        names: tuple[str, ...] = ()
        if values[0] is not None and values[1] is not None:
            names = classes([*values[0], *values[1]], self.names)
        for split in splits:
            _check_images(self, split)
        if self.crop_from is not None:
            limit = self.decoder.memory_limit / 1e9
            larger = ImageDecoder(self.crop_from, self.channels, self.decoder.on_broken, limit)
            self.uncut = self._set(splits[0], names, larger)
        return self._set(splits[0], names), self._set(splits[1], names)

    def _set(
        self, split: Split, names: tuple[str, ...], decoder: ImageDecoder | None = None
    ) -> StreamedSet:
        caption_of = None
        if self.caption_of_class is not None and names:
            caption_of = lambda label: self.caption(names[label])  # noqa: E731
        decoder = decoder or self.decoder
        return StreamedSet(split, decoder, names, self.shuffle_window, caption_of)


def _place_in_job() -> float:
    """Where this process is among those that torchrun or SLURM started with it, in [0, 1)."""
    for rank, count in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        texts = os.environ.get(rank, ""), os.environ.get(count, "")
        if all(text.isdecimal() for text in texts) and 0 <= int(texts[0]) < int(texts[1]):
            return int(texts[0]) / int(texts[1])
    return 0.0


def _check_images(data: EncodedData, split: Split) -> None:
    """Raises ValueError at a sample without an image, unless broken images are skipped."""
    missing = split.missing_image()
    if missing is None:
        return
    if data.decoder.on_broken == "skip":
        count = split.num_without_image
        rank_zero_warn(f"{data.name}: left out {count} samples without an image, as {missing}")
    else:
        raise ValueError(
            f"broken image, {missing}: it has no file of the column {split.shards.image!r}; remove "
            "the sample, or leave it out with data.on_broken=skip"
        )


class _InOrder:
    """Samples by their numbers, asked for in order or nearly so: read in stretches, and held.

    Args:
        split: of the samples.
        images: whether they are read, or captions alone.
        limit: of bytes held; those read first are dropped first.
    """

    def __init__(self, split: Split, images: bool, limit: int = 1 << 28) -> None:
        self._split, self._images, self._limit = split, images, limit
        self._held: dict[int, list[Sample]] = {}
        self._sizes: dict[int, int] = {}
        self._lock = Lock()

    def sample(self, index: int) -> Sample:
        stretch, place = divmod(index, _STRETCH)
        with self._lock:
            if stretch not in self._held:
                self._read(stretch)
            return self._held[stretch][place]

    def _read(self, stretch: int) -> None:
        first = stretch * _STRETCH
        indices = np.arange(first, min(first + _STRETCH, len(self._split)))
        samples: dict[int, Sample] = {}
        pieces = self._split.reads(indices, self._images)
        with ThreadPoolExecutor(_THREADS) as pool:
            parts = pool.map(lambda piece: piece[1].samples(), pieces)
            for (rows, _), part in zip(pieces, parts, strict=True):
                samples |= dict(zip(rows.tolist(), part, strict=True))
        self._held[stretch] = [samples[index] for index in indices.tolist()]
        self._sizes[stretch] = sum(sample.size for sample in samples.values())
        while len(self._held) > 4 and sum(self._sizes.values()) > self._limit:
            oldest = next(iter(self._held))
            del self._held[oldest], self._sizes[oldest]
