"""From encoded rows to a set of images: in memory or on demand, broken ones named."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Protocol, TypeVar

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from zoo.data import decode_cache
from zoo.data.image_set import ImageSet
from zoo.data.picture import UnsuitableImage
from zoo.data.pixels import decoded_pixels
from zoo.data.rows import Rows
from zoo.system.progress import Meter

T = TypeVar("T")

ON_BROKEN = ("stop", "skip")
THREADS = min(4, os.cpu_count() or 1)  # PIL frees the lock only while it decodes
_CHUNK = 256
_SAMPLE = 256  # images that tell a set that is decoded on demand from another
_WORTH_KEEPING = 2.0  # seconds of decoding from which the result is cached


class Decodes(Protocol):
    """The decoder of a set on demand."""

    shape: tuple[int, int, int]
    """(C, H, W) of every image."""

    def decode(self, rows: Rows, index: int) -> Tensor:
        """Row ``index`` as (C, H, W) uint8.

        Raises:
            ValueError: it is broken; the message says which.
        """


def read_row(rows: Rows, index: int, use: Callable[[bytes], T]) -> T:
    """What ``use`` makes of the encoded bytes of row ``index``.

    Raises:
        ValueError: they cannot be read, are broken, or have no known range or colours; the message
            is one line and says which file or row it is.
    """
    return read_encoded(lambda: rows.read(index), lambda: rows.where(index), use)


def read_encoded(
    read: Callable[[], bytes], where: Callable[[], str], use: Callable[[bytes], T]
) -> T:
    """What ``use`` makes of what ``read`` gives; see ``read_row``."""
    try:
        return use(read())
    except UnsuitableImage as error:
        raise ValueError(f"{where()}: {error}") from error
    except Exception as error:  # PIL's plugins raise anything, struct.error and KeyError too
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"broken image, {where()}: not a readable image ({reason}); remove it or write it again"
        ) from error


class ImageDecoder:
    """Decodes rows to one size; a broken image is named with its file or row.

    Args:
        image_size: height and width in pixels.
        channels: 1 or 3.
        on_broken: "stop" raises at the first image that is broken or has no known range, "skip"
            leaves such images out.
        memory_limit_gb: a set above it (10^9 bytes, decoded) is decoded on demand.
    """

    def __init__(
        self, image_size: int, channels: int, on_broken: str = "stop", memory_limit_gb: float = 4.0
    ) -> None:
        if on_broken not in ON_BROKEN:
            raise ValueError(f"on_broken is one of {', '.join(ON_BROKEN)}, got {on_broken!r}")
        self.image_size = image_size
        self.channels = channels
        self.shape = (channels, image_size, image_size)
        self.on_broken = on_broken
        self.memory_limit = round(memory_limit_gb * 1e9)

    def image_set(self, rows: Rows, class_names: Sequence[str], what: str) -> ImageSet:
        """Decodes ``rows``, whose labels are among ``class_names``; ``what`` is their name.

        Rows that are skipped are looked for now, on demand or not, so that the set's length and
        order never change. A set on demand that stops at broken images meets them in ``gather``.

        Raises:
            ValueError: an image is broken and ``on_broken`` is "stop", or none is left.
        """
        if not len(rows):
            raise ValueError(f"{what}: there are no images")
        fits = len(rows) * math.prod(self.shape) <= self.memory_limit
        if fits:
            key = decode_cache.content_key(rows, self.image_size, self.channels)
            images = decode_cache.find(key)
            if images is not None:
                return ImageSet(images, *_metadata(rows, class_names))
        elif self.on_broken == "stop":
            return OnDemand(self, rows, class_names)

        started = time.monotonic()
        pixels = torch.empty(len(rows) if fits else 0, *self.shape, dtype=torch.uint8)
        good = self._good(rows, what, pixels if fits else None)
        num_skipped = len(rows) - len(good)
        rows = rows.select(good)
        if not fits:
            return OnDemand(self, rows, class_names, num_skipped)
        image_set = ImageSet(pixels[: len(good)], *_metadata(rows, class_names), num_skipped)
        if time.monotonic() - started > _WORTH_KEEPING and not num_skipped:
            decode_cache.store(key, image_set.images)
        return image_set

    def _good(self, rows: Rows, what: str, pixels: Tensor | None) -> list[int]:
        """The indices of whole rows; their images fill ``pixels`` from the front."""
        good: list[int] = []
        broken: list[ValueError] = []
        for index, image in self._all(rows, what):
            if isinstance(image, Tensor):
                if pixels is not None:
                    pixels[len(good)] = image
                good.append(index)
            elif self.on_broken == "stop":
                raise image
            else:
                broken.append(image)
        counts = f"{len(broken)} of {len(rows)} images"
        if not good:
            raise ValueError(f"{what}: {counts} are broken, none is left; the first: {broken[0]}")
        if broken:
            rank_zero_warn(f"{what}: skipped {counts}, the first: {broken[0]}")
        return good

    def decode(self, rows: Rows, index: int) -> Tensor:
        """Row ``index`` as (C, H, W) uint8.

        Raises:
            ValueError: see ``read_row``.
        """
        return read_row(
            rows, index, lambda encoded: decoded_pixels(encoded, self.image_size, self.channels)
        )

    def _try(self, rows: Rows, index: int) -> Tensor | ValueError:
        try:
            return self.decode(rows, index)
        except ValueError as error:
            return error

    def _all(self, rows: Rows, what: str) -> Iterator[tuple[int, Tensor | ValueError]]:
        with (
            ThreadPoolExecutor(THREADS) as pool,
            Meter(len(rows), f"decoding {what}", "images") as meter,
        ):
            for first in range(0, len(rows), _CHUNK):
                indices = range(first, min(first + _CHUNK, len(rows)))
                yield from zip(
                    indices, pool.map(lambda index: self._try(rows, index), indices), strict=True
                )
                meter.advance(len(indices))


class OnDemand(ImageSet):
    """A set that is too large to hold: each image is decoded when it is read.

    Only ``gather`` gives images; what else an ``ImageSet`` knows is the same, its fingerprint too
    (which decodes every image once). Its ``pixel_fingerprint`` is of the files' bytes and of the
    rules of decoding them, which are read faster than decoded.
    """

    in_memory = False

    def __init__(
        self, decoder: Decodes, rows: Rows, class_names: Sequence[str] = (), num_skipped: int = 0
    ) -> None:
        self._decoder = decoder
        self._rows = rows
        self._describe(len(rows), *_metadata(rows, class_names), num_skipped)

    @cached_property
    def pixel_fingerprint(self) -> str:
        """sha256 of what fixes the pixels, without labels and captions."""
        key = None
        if isinstance(self._decoder, ImageDecoder):
            decoder = self._decoder
            key = decode_cache.content_key(self._rows, decoder.image_size, decoder.channels)
        return key if key is not None else self._pixel_digest(range(len(self))).hexdigest()

    def __getattr__(self, name: str) -> Tensor:
        if name == "images":
            raise ValueError(
                f"these {len(self)} images are decoded on demand: use gather(indices), or raise "
                "data.memory_limit_gb to hold them"
            )
        raise AttributeError(name)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self._decoder.shape

    @cached_property
    def content(self) -> str:
        """A hash of 256 images, evenly spaced, and of every label and caption."""
        return self._hash(range(0, len(self), max(1, len(self) // _SAMPLE)))

    def gather(self, indices: Tensor | Sequence[int]) -> Tensor:
        """The images at ``indices``, decoded now: (B, C, H, W) uint8."""
        with ThreadPoolExecutor(THREADS) as pool:
            rows = torch.as_tensor(indices, dtype=torch.int64).tolist()
            return torch.stack(
                list(pool.map(lambda index: self._decoder.decode(self._rows, index), rows))
            )


def _metadata(
    rows: Rows, class_names: Sequence[str]
) -> tuple[Tensor | None, list[str | tuple[str, ...]] | None, tuple[str, ...]]:
    labels = None
    if rows.labels is not None:
        number = {name: label for label, name in enumerate(class_names)}
        values = [number[v] if isinstance(v, str) else int(v) for v in rows.labels]
        labels = torch.tensor(values, dtype=torch.int64)
    captions = None if rows.captions is None else list(rows.captions)
    return labels, captions, tuple(class_names)
