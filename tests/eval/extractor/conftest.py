from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zoo.models.small_clip import SmallClip
from zoo.models.small_extractor import SmallExtractor

WORDS = ["a", "four", "handwritten", "three"]


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches; returns the zoo's own."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache"


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=generator)


@pytest.fixture
def small_extractor() -> SmallExtractor:
    torch.manual_seed(0)
    return SmallExtractor((1, 8, 8), num_classes=3, channels=(8, 16)).eval()


@pytest.fixture
def small_clip() -> SmallClip:
    torch.manual_seed(0)
    return SmallClip((1, 8, 8), vocabulary=WORDS, context_length=4, image_layers=1).eval()
