"""Pixels: nothing stands between images and the space that is diffused."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from zoo.draw import Draw
from zoo.part import Part
from zoo.system.tensors import IMAGES, check_floats


class Identity(Part):
    """The first stage of models that diffuse pixels.

    Attributes:
        downsampling: 1.
        bounds: the pixels' range.
    """

    downsampling = 1
    bounds: tuple[float, float] | None = (-1.0, 1.0)

    def latent_shape(self, image_shape: Sequence[int]) -> tuple[int, int, int]:
        """The image's own (C, H, W)."""
        channels, height, width = image_shape
        return channels, height, width

    def moments(self, images: Tensor) -> Tensor:
        """The images themselves, (B, C, H, W) in [-1, 1].

        Raises:
            ValueError: they are no floats (B, C, H, W).
        """
        check_floats(images, "images", (None,) * 4, remedy=IMAGES)
        return images

    def draw(self, moments: Tensor, draw: Draw | None = None) -> Tensor:
        """The images themselves: there is nothing to draw."""
        return moments

    def decode(self, latents: Tensor) -> Tensor:
        """The latents themselves.

        Raises:
            ValueError: they are no floats (B, C, H, W).
        """
        check_floats(latents, "latents", (None,) * 4)
        return latents
