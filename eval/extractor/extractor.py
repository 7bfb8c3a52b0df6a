"""The extractors' protocol, and what their classes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeGuard

import torch
from torch import Tensor


class Extractor(Protocol):
    """Maps images to features; an image's features do not depend on its batch.

    Attributes:
        name: appears in every result beside its numbers.
        sha256: of the weights' file, 64 hexadecimal digits.
        provides: the names of its features; ("pool",) where it is absent.
        resize: how images reach the network's input size and number of channels, in words.
    """

    name: str
    sha256: str
    resize: str

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Features of images (B, 1 or 3, H, W) uint8: (B, D) float32 each, on the CPU.

        Distances are made of ``pool``; classifiers give ``logits`` too.
        """


class TextExtractor(Extractor, Protocol):
    """An extractor whose image features share a space with those of captions."""

    def text(self, captions: list[str]) -> Tensor:
        """Features of captions, (B, D) float32 on the CPU; each distinct one is encoded once."""


def provided(extractor: Extractor) -> tuple[str, ...]:
    """The features that an extractor gives; ``pool`` where it does not say."""
    features: tuple[str, ...] = getattr(extractor, "provides", ("pool",))
    return features


def is_of_text(extractor: Extractor) -> TypeGuard[TextExtractor]:
    """Whether it encodes captions too."""
    return hasattr(extractor, "text")


def in_pieces(
    images: Tensor,
    size: int,
    network: Callable[[Tensor], dict[str, Tensor]],
    name: str = "the extractor",
) -> dict[str, Tensor]:
    """Runs a network over at most ``size`` images at a time, without gradients.

    Raises:
        ValueError: the images are not (B, 1 or 3, H, W) uint8, or a feature of one of them is NaN
            or infinite; the extractor is called ``name`` there.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"an extractor takes uint8 images (B, 1 or 3, H, W), got {images.dtype} "
            f"{tuple(images.shape)}"
        )
    # torch lets cuDNN round float32 to TF32, which moves features; comparisons need them exact
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        parts = [network(piece) for piece in images.split(size)]
    features = {key: torch.cat([part[key].float().cpu() for part in parts]) for key in parts[0]}
    for feature, values in features.items():
        finite = values.isfinite().flatten(1).all(dim=1)
        if not finite.all():
            bad = (~finite).nonzero().flatten().tolist()
            rows = ", ".join(map(str, bad[:5])) + ", ..." * (len(bad) > 5)
            raise ValueError(
                f"{name}: NaN or infinite values in '{feature}' of {len(bad)} of {len(values)} "
                f"images of a batch (rows {rows}): look at these images; where it is all of them, "
                "at its weights or its dtype"
            )
    return features


def rgb(images: Tensor) -> Tensor:
    """Images with three channels: the grey one of (B, 1, H, W) three times, RGB as it is."""
    return images if images.shape[1] == 3 else images.expand(-1, 3, -1, -1)


class DistinctTexts:
    """Encodes each distinct caption once and remembers it.

    Args:
        encode: captions in, features (B, D) out.
        limit: number of captions remembered; beyond it they are encoded again.
    """

    def __init__(self, encode: Callable[[list[str]], Tensor], limit: int = 100_000) -> None:
        self._encode = encode
        self._limit = limit
        self._cache: dict[str, Tensor] = {}

    def clear(self) -> None:
        """Forgets every caption: the next ones are encoded.

        Captions that are encoded together round together, so a pass starts with none: its numbers
        would depend, in their last digits, on what was measured before.
        """
        self._cache = {}

    def __call__(self, captions: list[str]) -> Tensor:
        """(B, D), row i of caption i.

        Raises:
            ValueError: there are no captions.
        """
        if not captions:
            raise ValueError("no captions to encode")
        new = [caption for caption in dict.fromkeys(captions) if caption not in self._cache]
        if len(self._cache) + len(new) > self._limit:
            self._cache, new = {}, list(dict.fromkeys(captions))
        if new:
            with torch.inference_mode():
                self._cache.update(zip(new, self._encode(new).float().cpu(), strict=True))
        return torch.stack([self._cache[caption] for caption in captions])
