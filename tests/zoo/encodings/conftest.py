from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.data import ImageData, ImageSet
from zoo.encodings import table
from zoo.first_stage import KLAutoencoder, VQAutoencoder


class Few(ImageData):
    """Nineteen images to train and six to test, of noise."""

    def load(self) -> tuple[ImageSet, ImageSet]:
        pixels = torch.randint(
            256, (25, 1, 8, 8), generator=torch.Generator().manual_seed(5), dtype=torch.uint8
        )
        captions = [("two", "three"), *(f"the number {i % 7}" for i in range(18))]
        return ImageSet(pixels[:19], captions=captions), ImageSet(pixels[19:], captions=["six"] * 6)


@pytest.fixture
def data() -> Any:
    few = Few("few", 8, 1, batch_size=4, condition="none", flip=True, seed=3)
    few.setup()
    return few


@pytest.fixture(params=[KLAutoencoder, VQAutoencoder])
def first_stage(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(1)
    made = request.param(1, 2, 8, (1, 2), 1, mid_attention=False, norm_groups=4)
    return made.requires_grad_(False).eval()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(table, "_ITEMS_PER_BLOCK", 5)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
