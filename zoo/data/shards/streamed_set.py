"""One split of a set in shards as an ``ImageSet``, of which little is in memory."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar, overload

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from zoo.data.decode import THREADS, ImageDecoder, read_encoded
from zoo.data.image_set import ImageSet
from zoo.data.picture import DECODING
from zoo.data.pixels import decoded_pixels
from zoo.data.shards.ahead import Ahead
from zoo.data.shards.source import Read, Sample
from zoo.data.shards.split import Split
from zoo.data.shuffle import Shuffle, WindowShuffle
from zoo.data.source.values import captions, image_bytes

T = TypeVar("T")
KIND = "shards-v1"
"""The kind of fingerprint: of the shards' structure, not of pixels as other sets have it."""
_TEXTS = 1 << 14  # captions that are remembered after their images were read
_PIECES = 4  # read at a time by who asks for images at once


class Lazy(Sequence[T]):
    """A sequence whose parts are read as they are asked for."""

    def __init__(self, length: int, part: Callable[[range | list[int]], list[T]]) -> None:
        self._length, self._part = length, part

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return self._part(range(self._length)[index])
        return self._part([range(self._length)[index]])[0]

    def __iter__(self) -> Iterator[T]:
        for first in range(0, self._length, 1024):
            yield from self._part(range(first, min(first + 1024, self._length)))


class StreamedSet(ImageSet):
    """A split of any size: images and captions are read from its shards as they are needed.

    Training has them in windows (``zoo.data.shuffle.WindowShuffle``), read ahead by threads;
    everything else by ``gather``, best in the set's own order. A broken image is an error, or
    with ``on_broken="skip"`` the next sound one of its block (the first of the block behind the
    last) is in its place, with its label and caption, whoever reads it and when.

    Args:
        split: the samples.
        decoder: what makes pixels of them.
        class_names: one word per class; empty where there are no labels.
        window: samples that training mixes, about.
        caption_of: makes the captions of a label's number, where the shards have none.
    """

    in_memory = False
    alternatives: Sequence[tuple[str, ...]] | None

    def __init__(
        self,
        split: Split,
        decoder: ImageDecoder,
        class_names: Sequence[str] = (),
        window: int = 8192,
        caption_of: Callable[[int], str] | None = None,
    ) -> None:
        if not len(split):
            raise ValueError("a set of images needs at least one image, got none")
        self._split, self._decoder, self.window = split, decoder, window
        self._texts: OrderedDict[int, tuple[str, ...]] = OrderedDict()
        self._lock = Lock()
        self._replaced: set[int] = set()
        self.labels = split.labels(class_names)
        self.class_names = tuple(class_names)
        self.captions = self.alternatives = None
        if split.shards.caption is not None:
            self.alternatives = Lazy(len(self), self._captions)
            self.captions = Lazy(len(self), lambda rows: [t[0] for t in self._captions(rows)])
        elif caption_of is not None and self.labels is not None:
            labels, texts = self.labels, [caption_of(i) for i in range(len(self.class_names))]
            self.captions = Lazy(len(self), lambda rows: [texts[labels[row]] for row in rows])

    def __len__(self) -> int:
        return len(self._split)

    def __getattr__(self, name: str) -> Tensor:
        if name == "images":
            raise ValueError(
                f"these {len(self)} images are streamed: use gather(indices), or raise "
                "data.memory_limit_gb to hold them"
            )
        raise AttributeError(name)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self._decoder.shape

    @property
    def num_skipped(self) -> int:
        """Samples without an image, and the broken images that were met so far."""
        return self._split.num_without_image + len(self._replaced)

    @property
    def fingerprint(self) -> str:
        """sha256 of the shards' names, sizes, headers and labels; its kind stands before it.

        Nothing is decoded for it, so a change inside of an image that keeps its size is not seen.
        """
        facts = [self._split.shards.digest, self._split.part, self.shape, DECODING, len(self)]
        return f"{KIND}:{hashlib.sha256(json.dumps(facts).encode()).hexdigest()}"

    @property
    def pixel_fingerprint(self) -> str:
        """The fingerprint: nothing is decoded for this one either."""
        return self.fingerprint

    @property
    def substitutes(self) -> bool:
        """Whether another image may be in the place of a broken one."""
        return self._decoder.on_broken == "skip"

    def shuffle(self, seed: int, batch_size: int) -> Shuffle:
        """The order of training: windows of blocks of shards."""
        return WindowShuffle(self._split.block_counts, seed, self.window, batch_size)

    def ahead(self, parts: Iterator[Tensor]) -> Ahead:
        """Threads that read the samples of one part after another ahead of their use."""
        return Ahead(self._split, parts, self._split.shards.files[0].local)

    def gather(self, indices: Tensor | Sequence[int]) -> Tensor:
        """The images at ``indices``, read and decoded now: (B, C, H, W) uint8."""
        return self.read(indices)[0]

    def read(
        self, indices: Tensor | Sequence[int], ahead: Ahead | None = None
    ) -> tuple[Tensor, Tensor]:
        """The images, (B, C, H, W) uint8, and which samples they are, (B,) int64.

        Args:
            indices: the samples.
            ahead: has read them already, or is about to.

        Raises:
            ValueError: one cannot be read, or is broken and not to be skipped; it is named.
        """
        rows = torch.as_tensor(indices, dtype=torch.int64).tolist()
        given: list[Sample | None] = [None] * len(rows) if ahead is None else ahead.take(rows)
        missing = [row for row, sample in zip(rows, given, strict=True) if sample is None]
        with ThreadPoolExecutor(THREADS) as pool:
            direct = self._fetched(missing, pool)
            samples = [direct[row] if sample is None else sample
                       for row, sample in zip(rows, given, strict=True)]  # fmt: skip
            pairs = list(pool.map(self._decoded, rows, samples))
        return (
            torch.stack([image for image, _ in pairs]),
            torch.tensor([row for _, row in pairs], dtype=torch.int64),
        )

    def _fetched(
        self, rows: Sequence[int], pool: ThreadPoolExecutor, images: bool = True
    ) -> dict[int, Sample]:
        pieces = self._split.reads(np.array(rows, np.int64), images) if len(rows) else []

        def load(piece: tuple[np.ndarray, Read]) -> dict[int, Sample]:
            return dict(zip(piece[0].tolist(), piece[1].samples(), strict=True))

        samples: dict[int, Sample] = {}
        for part in pool.map(load, pieces):
            samples |= part
        return samples

    def _decoded(self, row: int, sample: Sample) -> tuple[Tensor, int]:
        """The pixels of a sample, or of the one in its place."""
        try:
            return self._pixels(row, sample), row
        except ValueError as error:
            if self._decoder.on_broken == "stop":
                raise
            if not self._replaced:
                rank_zero_warn(f"another image is in the place of each broken one, such as {error}")
            self._replaced.add(row)
            return self._substitute(row, error)

    def _pixels(self, row: int, sample: Sample) -> Tensor:
        size, channels = self._decoder.image_size, self._decoder.channels
        pixels = read_encoded(
            lambda: image_bytes(sample.image),
            lambda: self._split.where(row),
            lambda encoded: decoded_pixels(encoded, size, channels),
        )
        if self.alternatives is not None:
            self._remember(row, sample)
        return pixels

    def _substitute(self, row: int, error: ValueError) -> tuple[Tensor, int]:
        starts = self._split.block_starts
        block = int(np.searchsorted(starts, row, side="right")) - 1
        first, last = int(starts[block]), int(starts[block + 1])
        with ThreadPoolExecutor(1) as pool:
            for other in [*range(row + 1, last), *range(first, row)]:
                try:
                    return self._pixels(other, self._fetched([other], pool)[other]), other
                except ValueError:
                    continue
        raise ValueError(f"{error}; nor is there another sound image near it")

    def _remember(self, row: int, sample: Sample) -> tuple[str, ...]:
        column = self._split.shards.caption or ""
        (texts,) = captions([sample.caption], lambda _: self._split.where(row), column)
        several = (texts,) if isinstance(texts, str) else texts
        with self._lock:
            self._texts[row] = several
            while len(self._texts) > _TEXTS:
                self._texts.popitem(last=False)
        return several

    def _captions(self, rows: range | list[int]) -> list[tuple[str, ...]]:
        with self._lock:
            held: dict[int, tuple[str, ...]] = {r: self._texts[r] for r in rows if r in self._texts}
        missing = [row for row in rows if row not in held]
        if missing:
            with ThreadPoolExecutor(_PIECES) as pool:
                samples: dict[int, Any] = self._fetched(missing, pool, images=False)
            held |= {row: self._remember(row, samples[row]) for row in missing}
        return [held[row] for row in rows]
