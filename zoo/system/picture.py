"""Many small images in one picture, and pictures as PNG."""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


# torchvision's make_grid leaves a single image without its frame, and has no enlargement
def image_grid(
    images: Tensor,
    columns: int | None = None,
    smallest: int = 512,
    gap: int = 1,
    transparent: bool = False,
) -> Tensor:
    """Lays images out row by row.

    Args:
        images: uint8 (N, C, H, W), C is 1 or 3, or 4 where the grid is transparent.
        columns: images in a row; a square when None.
        smallest: the picture is enlarged by a whole factor until its longer side has at least
            this many pixels, so that 16 x 16 images can be looked at; 0 leaves it as it is.
        gap: pixels between images, before enlarging.
        transparent: the background is transparent and the outermost images touch the picture's
            edges; else it is white, and a gap frames the picture.

    Returns:
        uint8 (3, height, width), or (4, height, width) where it is transparent.

    Raises:
        ValueError: there are no images.
    """
    if len(images) == 0:
        raise ValueError("a grid needs at least one image")
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    rows = math.ceil(len(images) / columns)
    frame = 0 if transparent else gap
    height, width = images.shape[2] + gap, images.shape[3] + gap
    size = rows * height - gap + 2 * frame, columns * width - gap + 2 * frame
    channels, background = (4, 0) if transparent else (3, 255)
    grid = torch.full((channels, *size), background, dtype=torch.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * height + frame, index % columns * width + frame
        place = grid[:, top : top + images.shape[2], left : left + images.shape[3]]
        place[3:] = 255  # opaque, unless the image says otherwise
        place[: max(3, len(image))] = image
    factor = max(1, math.ceil(smallest / max(size)))
    return grid.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def png(image: Tensor, optimize: bool = True) -> bytes:
    """Encodes uint8 (1, 3 or 4, H, W) as PNG; ``optimize`` takes longer for a smaller file."""
    array = image.permute(1, 2, 0).contiguous().cpu().numpy()
    buffer = io.BytesIO()
    picture = Image.fromarray(array[:, :, 0] if len(image) == 1 else array)
    picture.save(buffer, "png", optimize=optimize)
    return buffer.getvalue()


def save_png(image: Tensor, path: str | Path) -> Path:
    """Writes uint8 (1, 3 or 4, H, W) as PNG; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(image, optimize=False))  # one by one to the disk would be slow for 50,000
    return path
