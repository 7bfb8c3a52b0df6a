"""Many small images in one picture."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

_GAP = 1  # pixels of white between images, before enlarging


def image_grid(images: Tensor, columns: int | None = None, smallest: int = 512) -> Tensor:
    """Lays images out row by row.

    Args:
        images: uint8 (N, C, H, W), C is 1 or 3.
        columns: images in a row; a square when None.
        smallest: the picture is enlarged by a whole factor until its longer side has at least
            this many pixels, so that 16 x 16 images can be looked at.

    Returns:
        uint8 (3, height, width).

    Raises:
        ValueError: there are no images.
    """
    if len(images) == 0:
        raise ValueError("a grid needs at least one image")
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[2] + _GAP, images.shape[3] + _GAP
    grid = torch.full((3, rows * height + _GAP, columns * width + _GAP), 255, dtype=torch.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * height + _GAP, index % columns * width + _GAP
        grid[:, top : top + height - _GAP, left : left + width - _GAP] = image
    factor = max(1, math.ceil(smallest / max(grid.shape[1:])))
    return grid.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def save_png(image: Tensor, path: str | Path) -> Path:
    """Writes uint8 (1 or 3, H, W) as PNG; missing folders are made."""
    from PIL import Image

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    array = image.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(path)
    return path
