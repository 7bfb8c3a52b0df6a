"""Inception-v3 as FID means it: torch-fidelity's network, with TensorFlow 1's resize inside."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from eval.extractor.extractor import in_pieces, rgb
from eval.extractor.weights import find
from zoo import checkpoint

_PIECE = 16  # 16 images' activations at 299x299 are faster than 64's: they stay off fresh pages


class Inception:
    """Features of FID's Inception-v3: pooled, spatial and class logits.

    Batch norms are folded into the convolutions before them, in float64, and activations lie
    channels last: the same features to 1e-6, in about half the time.

    Args:
        path: the weights' file; None looks into the zoo's cache and torch's.
        sha256: expected instead of the published file's, for weights of your own.
        download: fetch the published file if it is nowhere.
        device: where it computes.

    Raises:
        ValueError: the weights are missing, or not what their sha256 says.
    """

    name = "inception"
    resize = "bilinear to 299x299 as TensorFlow 1 does it; one channel is repeated three times"

    def __init__(
        self,
        path: str | Path | None = None,
        sha256: str | None = None,
        download: bool = False,
        device: str = "cpu",
    ) -> None:
        file = find("inception", path, sha256=sha256, download=download)
        self.sha256 = checkpoint.sha256(file)
        self.network = _folded(_network(file)).to(device, memory_format=torch.channels_last)
        self.network.Mixed_6d.branch1x1.register_forward_hook(self._keep_spatial)
        self.device = device

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """``pool`` (B, 2048), ``logits`` (B, 1008) and ``spatial`` (B, 2023) of uint8 images.

        The logits are without bias; the spatial features are ADM's for sFID (arXiv:2103.03841):
        the first 7 channels of the 17x17 layer that TensorFlow calls mixed_6/conv.
        """
        return in_pieces(images, _PIECE, self._features)

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        images = rgb(images).to(self.device, memory_format=torch.channels_last)
        pool, logits = self.network(images)
        return {"pool": pool, "logits": logits, "spatial": self._spatial}

    def _keep_spatial(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._spatial = output[:, :7].flatten(1)


def _folded(network: nn.Module) -> Any:
    """The network with each batch norm inside its convolution."""
    network.double()
    for block in network.modules():
        if isinstance(getattr(block, "bn", None), nn.BatchNorm2d):
            block.conv = fuse_conv_bn_eval(block.conv, block.bn)
            block.bn = nn.Identity()
    return network.float()


def _network(file: Path) -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch-fidelity unpickles whatever its file holds. It is given a copy of what could be read
    # without unpickling instead.
    safe = io.BytesIO()
    try:
        torch.save(torch.load(file, map_location="cpu", weights_only=True), safe)
        safe.seek(0)
        return FeatureExtractorInceptionV3(
            "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=safe
        )
    except (RuntimeError, EOFError, LookupError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{file}: not weights of FID's Inception-v3 ({reason})") from error
