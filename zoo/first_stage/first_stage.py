"""The contract of a first stage: images to the space that is diffused, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from zoo.draw import Draw


class FirstStage(Protocol):
    """An autoencoder, or the identity; one with weights is an ``nn.Module`` and stays frozen.

    Attributes:
        bounds: the range of what is diffused, which x0 is clipped to; None where it has none.
    """

    bounds: tuple[float, float] | None

    def latent_shape(self, image_shape: Sequence[int]) -> tuple[int, int, int]:
        """(C, h, w) of what is diffused, of images (C, H, W).

        Raises:
            ValueError: images of these sides do not fit.
        """

    def moments(self, images: Tensor) -> Tensor:
        """The posterior's moments, (B, ..., h, w), of images (B, C, H, W) in [-1, 1]."""

    def draw(self, moments: Tensor, draw: Draw | None = None) -> Tensor:
        """Latents (B, C, h, w); their mean where ``draw`` is None."""

    def decode(self, latents: Tensor) -> Tensor:
        """Images (B, C, H, W), about in [-1, 1], of latents."""
