"""Inception-v3 with random weights, where comparisons of code need no trained ones, and PNGs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn


def random_inception() -> Any:
    """torch-fidelity's own network, every weight drawn anew."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):
        def load_state_dict(self, *args: Any, **kwargs: Any) -> None:
            pass  # the constructor insists on reading a file

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    network = Unloaded("peer", ["2048", "logits_unbiased"], feature_extractor_weights_path=nothing)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.running_mean.normal_(0.0, 0.1, generator=generator)
    return network


def write_pngs(folder: Path, count: int, seed: int, spread: float) -> Path:
    """Smooth colours with a little noise, 32x32."""
    folder.mkdir()
    random = np.random.RandomState(seed)
    for i in range(count):
        corners = random.normal(128, spread, (2, 2, 3)).clip(0, 255).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(corners).resize((32, 32), Image.Resampling.BICUBIC))
        pixels = (smooth + random.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:05d}.png")
    return folder
