"""LPIPS: how much a reconstruction differs in a network's features (arXiv:1801.03924)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from eval.extractor import weights
from eval.metric.pair.pair import PairMetric, check_images
from zoo.checkpoint import sha256
from zoo.data.stream import to_float
from zoo.first_stage import perceptual

LINEAR_SHA256 = "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
"""Of lpips/weights/v0.1/vgg.pth in the wheel of lpips 0.1.4; the same file is in torchmetrics."""

_SMALLEST = 16  # VGG16 halves an image four times
_PIECE = 64  # images at a time


def lpips(network: perceptual.LPIPS, originals: Tensor, reconstructions: Tensor) -> Tensor:
    """The learned distance of each pair, (B,) float32 on the CPU; 0 for the same image.

    Args:
        network: VGG16 with the learned linear layers, on any device.
        originals: (B, 1 or 3, H, W) uint8; a grey channel is taken three times.
        reconstructions: the same.

    Raises:
        ValueError: they are not uint8 of one shape, not grey or RGB, or smaller than 16 pixels.
    """
    check_images(originals, reconstructions)
    channels, height, width = originals.shape[1:]
    if channels not in (1, 3) or min(height, width) < _SMALLEST:
        raise ValueError(
            f"LPIPS takes images of 1 or 3 channels and at least {_SMALLEST}x{_SMALLEST} pixels, "
            f"got {channels} channels of {height}x{width}"
        )
    device = network.shift.device
    with torch.inference_mode():
        pieces = zip(originals.split(_PIECE), reconstructions.split(_PIECE), strict=True)
        parts = [network(to_float(a.to(device)), to_float(b.to(device))).cpu() for a, b in pieces]
    return torch.cat(parts)


class VGG:
    """LPIPS's network and the hashes of the files of VGG16 and of the linear layers."""

    def __init__(self, network: perceptual.LPIPS, vgg_sha256: str, linear_sha256: str) -> None:
        self.network = network.eval()
        self.vgg_sha256, self.linear_sha256 = vgg_sha256, linear_sha256

    def __repr__(self) -> str:
        return f"VGG16 (sha256 {self.vgg_sha256}; linear layers {self.linear_sha256})"

    def to(self, device: torch.device | str) -> VGG:
        """Moves the network."""
        self.network.to(device)
        return self


def published(
    vgg_file: str | Path | None = None,
    linear_file: str | Path | None = None,
    download: bool = False,
) -> VGG:
    """LPIPS 0.1 with VGG16, its files' sha256 checked.

    Args:
        vgg_file: torchvision's VGG16; searched in the places that ``zoo doctor`` shows when None.
        linear_file: the linear layers; torchmetrics' copy when None.
        download: fetch what is missing.

    Raises:
        ValueError: a file is missing, torn or another one; the message says what to put where.
    """
    linear = _torchmetrics_copy() if linear_file is None else Path(linear_file).expanduser()
    if not linear.is_file() or sha256(linear) != LINEAR_SHA256:
        raise ValueError(
            f"{linear} is not LPIPS's linear layers: give linear_file=FILE, the "
            f"lpips/weights/v0.1/vgg.pth of the lpips package, sha256 {LINEAR_SHA256}"
        )
    vgg = weights.find("vgg16", vgg_file, download=download)
    return VGG(perceptual.lpips(str(vgg), str(linear)), sha256(vgg), LINEAR_SHA256)


def _torchmetrics_copy() -> Path:
    import torchmetrics

    return Path(torchmetrics.__file__).parent / "functional/image/lpips_models/vgg.pth"


class PerceptualDistance(PairMetric):
    """The mean over images of their learned distances; ``vgg`` is the published network if None."""

    stem, title = "lpips", "LPIPS"
    definition = (
        "How different reconstructions look: the distance of an image to its original in the "
        "features of a network, weighted by people's judgements; 0 for the same image."
    )
    higher_is_better = False
    settings = (
        "LPIPS 0.1 with VGG16 of images rounded to 8 bits, in [-1, 1], at their own size, grey "
        "taken three times; mean over images"
    )
    network = "vgg16"

    def __init__(self, vgg: VGG | None = None) -> None:
        super().__init__()
        self.vgg = vgg if vgg is not None else published()
        self.sha256 = self.vgg.vgg_sha256

    def description(self) -> str:
        return f"{self.settings}; {self.vgg}"

    def factory(self) -> Callable[[], PerceptualDistance]:
        return functools.partial(PerceptualDistance, self.vgg)

    def place(self, device: torch.device) -> None:
        self.vgg.to(device)

    def compare(self, originals: Tensor, reconstructions: Tensor) -> Tensor:
        return lpips(self.vgg.network, originals, reconstructions)
