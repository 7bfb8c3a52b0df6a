"""FID's Inception-v3, with either of the two resizes that are in use."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from eval.extractor.extractor import in_pieces, rgb
from eval.extractor.weights import find, weights_of
from zoo import checkpoint

_SIZE = 299
_PIECE = 16  # images at a time: activations of 64 are slower, for they need fresh memory pages
_STEM = [
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1"),
    *("Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c"),
]
_REST = ["Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool"]


class Inception:
    """Features of FID's Inception-v3 after TensorFlow 1's resize: pooled, spatial, class logits.

    They equal torch-fidelity's to 1e-6, in about half the time: batch norms are folded into the
    convolutions before them, in float64, and activations are in channels-last order.

    Args:
        path: the weights' file; None looks into the zoo's cache and torch's.
        sha256: expected instead of the published file's, for weights of your own.
        download: fetch the published file if it is missing.
        device: where it computes.
        dtype: "bfloat16" is faster and moves features by some percent of their spread: its numbers
            bear another extractor's name, and compare only with each other.

    Raises:
        ValueError: the weights are missing, or of another sha256; there is no such dtype.
    """

    name = "inception"
    provides = ("pool", "logits", "spatial")
    resize = "bilinear to 299x299 as TensorFlow 1 does it; one channel is repeated three times"

    def __init__(
        self,
        path: str | Path | None = None,
        sha256: str | None = None,
        download: bool = False,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        if dtype not in ("float32", "bfloat16"):
            raise ValueError(f"{self.name}'s dtype is float32 or bfloat16, got {dtype!r}")
        self.dtype = dtype
        if dtype != "float32":
            self.name = f"{self.name}_{dtype}"
        file = find("inception", path, sha256=sha256, download=download)
        self.sha256 = checkpoint.sha256(file)
        kind = getattr(torch, dtype)
        self.network = _folded(_network(file)).to(device, kind, memory_format=torch.channels_last)
        self.device = device

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """``pool`` (B, 2048), ``logits`` (B, 1008) and ``spatial`` (B, 2023) of uint8 images.

        The logits are without bias; the spatial features are ADM's for sFID (arXiv:2103.03841):
        the first 7 channels of the 17x17 layer that TensorFlow calls mixed_6/conv.
        """
        return in_pieces(images, _PIECE, self._features, self.name)

    def resized(self, images: Tensor) -> Tensor:
        """Images (B, 3, 299, 299) float32 in [0, 255] of uint8 ones (B, 3, H, W)."""
        height, width = images.shape[-2:]
        if max(height, width) < _SIZE:  # two small products: a twentieth of the time
            down, across = _bilinear(height), _bilinear(width)
            return down.to(self.device) @ (images.float() @ across.T.to(self.device))
        from torch_fidelity.interpolate_compat_tensorflow import (
            interpolate_bilinear_2d_like_tensorflow1x as resized,
        )

        return resized(images.float(), size=(_SIZE, _SIZE), align_corners=False)

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        x = self.resized(rgb(images).to(self.device))
        x = ((x - 128) / 128).to(getattr(torch, self.dtype))
        x = x.contiguous(memory_format=torch.channels_last)
        network = self.network
        for name in _STEM:
            x = getattr(network, name)(x)
        spatial = network.Mixed_6d.branch1x1(x)[:, :7]
        x = network.Mixed_6d(x)
        for name in _REST:
            x = getattr(network, name)(x)
        pool = x.flatten(1)
        return {"pool": pool, "logits": pool @ network.fc.weight.T, "spatial": spatial.flatten(1)}


class CleanInception(Inception):
    """The same network after clean-fid's resize (arXiv:2104.11222): antialiased, not quantised."""

    name = "inception_clean"
    resize = "bicubic with antialiasing to 299x299 in float32 by Pillow, as clean-fid does it"

    def resized(self, images: Tensor) -> Tensor:
        def channel(plane: np.ndarray) -> np.ndarray:
            # mode F: an 8-bit image would be rounded after the resize
            image = Image.fromarray(plane).resize((_SIZE, _SIZE), Image.Resampling.BICUBIC)
            return np.asarray(image)

        planes = images.cpu().float().flatten(0, 1).numpy()
        pixels = torch.from_numpy(np.stack([channel(plane) for plane in planes]))
        return pixels.clamp_(0, 255).unflatten(0, (-1, 3)).to(self.device)


@functools.cache
def _bilinear(size: int) -> Tensor:
    """TensorFlow 1's bilinear resize along one axis, (299, size): row i reads at i size / 299."""
    at = torch.arange(_SIZE, dtype=torch.float32) * (size / _SIZE)
    low = at.floor().long()
    high = (low + 1).clamp(max=size - 1)
    weights = torch.zeros(_SIZE, size)
    weights.scatter_add_(1, low[:, None], (1 - (at - low))[:, None])
    return weights.scatter_add_(1, high[:, None], (at - low)[:, None])


def _folded(network: nn.Module) -> Any:
    """The network with each batch norm inside its convolution."""
    network.double()
    for block in network.modules():
        if isinstance(getattr(block, "bn", None), nn.BatchNorm2d):
            conv, norm = cast("tuple[nn.Conv2d, nn.BatchNorm2d]", (block.conv, block.bn))
            block.conv = fuse_conv_bn_eval(conv, norm)
            block.bn = nn.Identity()
    return network.float()


def _network(file: Path) -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch-fidelity unpickles whatever its file holds, so it gets a copy of what could be read
    # without unpickling
    safe = io.BytesIO()
    with weights_of("FID's Inception-v3", file):
        torch.save(torch.load(file, map_location="cpu", weights_only=True), safe)
        safe.seek(0)
        return FeatureExtractorInceptionV3(
            "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=safe
        )
