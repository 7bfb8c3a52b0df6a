"""Metrics of reconstructions: each compares an image with its original, and the mean is given."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from eval.metric.metric import Metric
from zoo.records import Batch


class PairMetric(Metric):
    """The mean over pairs of an original and its reconstruction, in float64 sums.

    Attributes:
        settings: how a pair is compared, for the protocol.
        network: the name of the network that compares, or None.
        sha256: of its weights, or None.
    """

    against = "pairs"
    needs = "an autoencoder: it compares a reconstruction with its original"
    settings: ClassVar[str]
    network: str | None = None
    sha256: str | None = None
    total: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__(extractor="", feature="original")
        for name in ("total", "squares"):
            zero = torch.zeros((), dtype=torch.float64)
            self.add_state(name, zero, dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @property
    def name(self) -> str:
        """The number's name, such as ``psnr``."""
        return self.stem

    @classmethod
    def suits(cls, extractor: Any, num_classes: int | None) -> bool:
        """Never: no extractor makes a reconstruction."""
        return False

    def told(self) -> str:
        """How it is measured, in words."""
        return self.settings

    def fresh(self) -> PairMetric:
        """Another one of the same settings that has seen nothing."""
        return type(self)()

    def place(self, device: torch.device) -> None:
        """Moves what compares to a device; the sums stay where they are."""

    def of(self, originals: Tensor, reconstructions: Tensor) -> Tensor:
        """The number of each pair (B,) float64, of images (B, C, H, W) uint8.

        Raises:
            ValueError: the images are no pairs, or too small for this metric.
        """
        raise NotImplementedError

    def update(self, features: dict[str, Tensor], batch: Batch | None = None) -> None:
        """Adds the pairs of ``original`` and ``reconstruction``, (B, C, H, W) uint8 each."""
        found = self.of(features["original"], features["reconstruction"]).double().to(self.device)
        self.total = self.total + found.sum()
        self.squares = self.squares + found.square().sum()
        self.count = self.count + len(found)

    def compute(self) -> dict[str, float]:
        """The mean, under this metric's name, and the standard deviation over images."""
        if self.count == 0:
            raise ValueError(f"{self.name}: no image has been seen")
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp(min=0)
        return {self.name: float(mean), f"{self.name}_deviation": float(variance.sqrt())}


def check_images(originals: Tensor, reconstructions: Tensor) -> None:
    """Refuses what are not pairs of 8-bit images.

    Raises:
        ValueError: not uint8 (B, C, H, W) of one shape.
    """
    both = (originals, reconstructions)
    if originals.shape != reconstructions.shape or any(
        images.dtype != torch.uint8 or images.ndim != 4 for images in both
    ):
        told = " and ".join(f"{images.dtype} {tuple(images.shape)}" for images in both)
        raise ValueError(
            f"originals and reconstructions are uint8 (B, C, H, W) of one shape, got {told}"
        )
