"""A smaller image as the condition: upsamplers (arXiv:2102.09672, arXiv:2105.05233)."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from zoo.conditioner.class_label import as_labels
from zoo.draw import Draw
from zoo.part import Part
from zoo.records import Condition, Raw


class LowResolution(Part):
    """Enlarges images bilinearly; the denoiser reads them beside the noisy image's channels.

    Where the upsampler knows classes too, ``of(images, labels)`` makes the condition that
    ``generate`` takes.

    Args:
        image_size: side that images are enlarged to.
        image_channels: of the images.
        num_classes: labels are 0 to num_classes - 1, in the denoiser's own table, or None.
    """

    dropout = 0.0

    def __init__(
        self, image_size: int, image_channels: int = 3, num_classes: int | None = None
    ) -> None:
        self.image_size, self.image_channels = image_size, image_channels
        self.num_classes = num_classes

    @property
    def num_rows(self) -> int | None:
        """The rows that the denoiser's label table needs."""
        return self.num_classes

    def __call__(self, raw: Raw, draw: Draw | None = None) -> Condition:
        """Images (B, C, h, w) in [-1, 1] as the condition of a model without classes."""
        return self.of(raw)

    def of(self, images: Any, labels: Any = None) -> Condition:
        """The condition of images (B, C, h, w) in [-1, 1] and of labels (B,) where there are any.

        Raises:
            ValueError: other images, or labels that are missing or unknown.
        """
        suits = isinstance(images, Tensor) and images.ndim == 4 and images.is_floating_point()
        if not suits or images.shape[1] != self.image_channels:
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise ValueError(
                f"an upsampler is conditioned on smaller images, floats (B, {self.image_channels}, "
                f"h, w) in [-1, 1]; got {got}"
            )
        if (labels is None) != (self.num_classes is None):
            classes = "no classes" if self.num_classes is None else f"{self.num_classes} classes"
            raise ValueError(
                f"this upsampler knows {classes}: conditioner.of(images, labels) makes a condition "
                "of both"
            )
        size = (self.image_size, self.image_size)
        return Condition(
            vector=None if labels is None else as_labels(labels, self.num_classes or 0),
            image=F.interpolate(images, size, mode="bilinear"),
        )

    def null(self, size: int) -> Condition:
        """Raises ValueError: no condition is dropped in training."""
        raise ValueError("an upsampler has no null condition: use guidance scale 1")

    def random(self, draw: Draw) -> Raw:
        """Raises ValueError: the images to enlarge cannot be drawn."""
        raise ValueError(
            "an upsampler needs smaller images: generate(condition=images), or "
            "generate(condition=module.conditioner.of(images, labels))"
        )
