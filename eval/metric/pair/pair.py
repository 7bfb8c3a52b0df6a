"""The base of metrics of an image and its reconstruction: the mean of a number of each pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from eval.extractor.extractor import Extractor
from eval.metric.metric import MeanMetric
from eval.result.heading import heading
from eval.source.batch import Images


class PairMetric(MeanMetric):
    """The mean over pairs of an original and its reconstruction.

    Attributes:
        settings: how a pair is compared, for the protocol.
        network: the name of the comparing network, or None.
        sha256: of its weights, or None.
    """

    against = "pairs"
    reads = None
    needs = "an autoencoder: it compares a reconstruction with its original"
    settings: ClassVar[str]
    network: str | None = None
    sha256: str | None = None

    @classmethod
    def suits(cls, extractor: Extractor, num_classes: int | None) -> bool:
        """Never: no extractor makes a reconstruction."""
        return False

    def heading(self, name: str, count: int | None = None) -> str:
        return heading(self.title, count, self.network or "")

    def description(self) -> str:
        """How it is measured."""
        return self.settings

    def factory(self) -> Callable[[], PairMetric]:
        """Makes empty metrics of the same settings."""
        return type(self)

    def place(self, device: torch.device) -> None:
        """Moves the comparing network to a device; the sums stay where they are."""

    def compare(self, originals: Tensor, reconstructions: Tensor) -> Tensor:
        """The number of each pair (B,) float64, of images (B, C, H, W) uint8.

        Raises:
            ValueError: the images are not pairs, or too small for this metric.
        """
        raise NotImplementedError

    def of(self, features: dict[str, Tensor], images: Images) -> Tensor:
        """The number of each pair of a batch, (B,).

        Raises:
            ValueError: the images have no originals.
        """
        if images.originals is None:
            raise ValueError(f"{self.name} compares images with their originals; these have none")
        return self.compare(images.originals, images.images)


def check_images(originals: Tensor, reconstructions: Tensor) -> None:
    """Refuses anything but pairs of 8-bit images.

    Raises:
        ValueError: not uint8 (B, C, H, W) of one shape.
    """
    both = (originals, reconstructions)
    if originals.shape != reconstructions.shape or any(
        images.dtype != torch.uint8 or images.ndim != 4 for images in both
    ):
        shapes = " and ".join(f"{images.dtype} {tuple(images.shape)}" for images in both)
        raise ValueError(
            f"originals and reconstructions are uint8 (B, C, H, W) of one shape, got {shapes}"
        )
