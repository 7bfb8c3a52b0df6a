"""One split of a data set: images, labels and captions side by side."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from zoo.data.shuffle import Shuffle, WholeShuffle

_CHUNK = 1024  # images hashed at a time, so that a set decoded on demand is never held whole


class ImageSet:
    """Images of one size in memory, with their labels and captions.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64 in [0, number of classes), or None.
        captions: a sentence for each image, or several, or None.
        class_names: one word per class; empty where there are no labels.
        num_skipped: broken images that were left out of this set.

    Raises:
        ValueError: there are no images, or the fields' lengths differ.
    """

    captions: Sequence[str] | None
    """Each image's caption, the first where it has several."""
    alternatives: Sequence[tuple[str, ...]] | None = None
    """All captions of each image, of which training draws one in each epoch; None where no image
    has several."""
    in_memory = True
    grouped = False
    """Whether images lie in several folders, each perhaps a class: neighbours may be alike."""

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        captions: Sequence[str | tuple[str, ...]] | None = None,
        class_names: Sequence[str] = (),
        num_skipped: int = 0,
    ) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(
                f"images are (N, C, H, W) uint8, got {tuple(images.shape)} {images.dtype}"
            )
        self.images = images
        self._describe(len(images), labels, captions, class_names, num_skipped)

    def _describe(
        self,
        num_images: int,
        labels: Tensor | None,
        captions: Sequence[str | tuple[str, ...]] | None,
        class_names: Sequence[str],
        num_skipped: int,
    ) -> None:
        if num_images == 0:
            raise ValueError("a set of images needs at least one image, got none")
        for what, values in (("labels", labels), ("captions", captions)):
            if values is not None and len(values) != num_images:
                raise ValueError(f"{num_images} images, but {len(values)} {what}")
        self.labels = labels
        self.captions = None if captions is None else [_several(of)[0] for of in captions]
        if captions is not None and not all(isinstance(of, str) for of in captions):
            self.alternatives = [_several(of) for of in captions]
        self.class_names = tuple(class_names)
        self._num_skipped = num_skipped

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_skipped(self) -> int:
        """Broken images that were left out of this set."""
        return self._num_skipped

    @property
    def substitutes(self) -> bool:
        """Whether another image may be in the place of a broken one, with its label and caption."""
        return False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def gather(self, indices: Tensor | Sequence[int]) -> Tensor:
        """The images at ``indices``, in that order: (B, C, H, W) uint8, a copy."""
        images = self.images.index_select(0, torch.as_tensor(indices, dtype=torch.int64))
        return images.contiguous()

    def read(self, indices: Tensor | Sequence[int], ahead: Any = None) -> tuple[Tensor, Tensor]:
        """The images at ``indices``, and which they are, (B,) int64.

        They are others where a set that is streamed has others in the place of broken ones.
        """
        return self.gather(indices), torch.as_tensor(indices, dtype=torch.int64)

    def shuffle(self, seed: int, batch_size: int) -> Shuffle:
        """The order of training."""
        return WholeShuffle(len(self), seed)

    def ahead(self, parts: Iterator[Tensor]) -> AbstractContextManager[Any]:
        """A context whose value ``read`` takes, where images are read ahead of their use."""
        return nullcontext()

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the content: shape, pixels, labels and captions, however they are stored."""
        return self._hash(range(len(self)))

    @cached_property
    def pixel_fingerprint(self) -> str:
        """sha256 of what fixes the pixels, without labels and captions."""
        return self._pixel_digest(range(len(self))).hexdigest()

    @cached_property
    def content(self) -> str:
        """What tells another content, had in seconds: the fingerprint where that is."""
        return self.fingerprint

    def _hash(self, images: range) -> str:
        digest = self._pixel_digest(images)
        labels = None if self.labels is None else self.labels.tolist()
        digest.update(json.dumps([labels, self.alternatives or self.captions]).encode())
        return digest.hexdigest()

    def _pixel_digest(self, images: range) -> hashlib._Hash:
        digest = hashlib.sha256(f"uint8 {(len(self), *self.shape)}".encode())
        for first in range(0, len(images), _CHUNK):
            digest.update(self.gather(images[first : first + _CHUNK]).numpy().tobytes())
        return digest

    @property
    def all_captions(self) -> list[str] | None:
        """Every caption of every image, or None."""
        if self.alternatives is None:
            return None if self.captions is None else list(self.captions)
        return [caption for of in self.alternatives for caption in of]


def joined(fingerprints: Sequence[str]) -> str:
    """The fingerprint of several sets; its kind stands before it as before theirs.

    >>> joined(["shards-v1:ab", "shards-v1:cd"])[:14], len(joined(["ab", "cd"]))
    ('shards-v1:0976', 64)
    """
    kind = next((text.partition(":")[0] for text in fingerprints if ":" in text), None)
    digest = hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()
    return digest if kind is None else f"{kind}:{digest}"


def _several(captions: str | tuple[str, ...]) -> tuple[str, ...]:
    return (captions,) if isinstance(captions, str) else tuple(captions)
