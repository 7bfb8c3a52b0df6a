"""A batch of images to be measured, with their labels or captions and their cost."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def check_images(images: Tensor, name: str = "images") -> None:
    """Refuses anything but 8-bit images: floats in [-1, 1] would be measured as if black.

    Raises:
        ValueError: not uint8 (B, C, H, W).
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(
            f"{name} are uint8 (B, C, H, W), got {images.dtype} {tuple(images.shape)}; "
            "zoo.generation.to_uint8 makes them of floats in [-1, 1]"
        )


class Images(NamedTuple):
    """A batch of images.

    Attributes:
        images: (B, C, H, W) uint8 on the CPU.
        labels: (B,) int64, or None.
        captions: B sentences, or None.
        seconds: that generating them took; 0 for stored images.
        evaluations: rows that each network evaluated for them, by name: "" is the model.
        originals: the images that ``images`` are reconstructions of, of the same shape, or None.
        shuffled: B captions of other images, for the score of chance, or None.
        features: of each image, from the source itself, such as its likelihood: (B, ...) by name,
            or None.
    """

    images: Tensor
    labels: Tensor | None = None
    captions: list[str] | None = None
    seconds: float = 0.0
    evaluations: dict[str, int] | None = None
    originals: Tensor | None = None
    shuffled: list[str] | None = None
    features: dict[str, Tensor] | None = None

    def rows(self, start: int, stop: int) -> Images:
        """The images from ``start`` to ``stop``; time and evaluations stay with the batch."""
        part = slice(start, stop)
        return Images(
            self.images[part],
            None if self.labels is None else self.labels[part],
            None if self.captions is None else self.captions[part],
            originals=None if self.originals is None else self.originals[part],
            shuffled=None if self.shuffled is None else self.shuffled[part],
        )
