"""A batch of images to be measured, with what they should show and what they cost."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Images(NamedTuple):
    """A batch of images.

    Attributes:
        images: (B, C, H, W) uint8 on the CPU.
        labels: (B,) int64, or None.
        captions: B sentences, or None.
        seconds: that making them took; 0 for images that were there.
        evaluations: rows that each network evaluated for them, by name: "" is the model.
        originals: what ``images`` are reconstructions of, of the same shape; else None.
        shuffled: B captions of other images, for the score that chance gives; else None.
        features: what the source knows of each image beside its pixels, (B, ...) by name, such as
            its likelihood; else None.
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
