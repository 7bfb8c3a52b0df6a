"""Many small images in one picture, and pictures as files."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zoo.system.files import write_atomically

_FORMATS: dict[str, tuple[str, int, dict[str, Any]]] = {  # name, pixels of a side, options
    ".png": ("png", 2**31 - 1, {}),
    ".jpg": ("jpeg", 65_500, {"quality": 95, "subsampling": 0}),  # libjpeg's own limit
    ".jpeg": ("jpeg", 65_500, {"quality": 95, "subsampling": 0}),
    ".webp": ("webp", 16_383, {"lossless": True}),
}
SUFFIXES = tuple(_FORMATS)
"""Of the pictures that can be written."""
_SMALLEST, _GAP = 512, 1


# torchvision's make_grid leaves a single image without its frame, and has no enlargement
def image_grid(
    images: Tensor,
    columns: int | None = None,
    smallest: int = _SMALLEST,
    gap: int = _GAP,
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
    frame = 0 if transparent else gap
    columns, size, factor = _layout(len(images), columns, images.shape[2:], smallest, gap, frame)
    height, width = images.shape[2] + gap, images.shape[3] + gap
    channels, background = (4, 0) if transparent else (3, 255)
    grid = torch.full((channels, *size), background, dtype=torch.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * height + frame, index % columns * width + frame
        place = grid[:, top : top + images.shape[2], left : left + images.shape[3]]
        place[3:] = 255  # opaque, unless the image says otherwise
        place[: max(3, len(image))] = image
    return grid.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def grid_size(
    num_images: int, height: int, width: int, columns: int | None = None
) -> tuple[int, int]:
    """Height and width in pixels of ``image_grid``'s picture of so many images."""
    _, size, factor = _layout(num_images, columns, (height, width), _SMALLEST, _GAP, _GAP)
    return size[0] * factor, size[1] * factor


def _layout(
    count: int, columns: int | None, shape: Any, smallest: int, gap: int, frame: int
) -> tuple[int, tuple[int, int], int]:
    """Columns, height and width before enlarging, and the factor of that."""
    if count == 0:
        raise ValueError("a grid needs at least one image")
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    height, width = shape[0] + gap, shape[1] + gap
    size = rows * height - gap + 2 * frame, columns * width - gap + 2 * frame
    return columns, size, max(1, math.ceil(smallest / max(size)))


def check_picture(path: Path, height: int, width: int) -> None:
    """Refuses a picture that its format cannot hold, before it is made.

    Raises:
        ValueError: the suffix is none of ``SUFFIXES``, or a side is too long for the format.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"{path}: pictures are written as {', '.join(SUFFIXES)}")
    name, limit, _ = _FORMATS[suffix]
    if max(height, width) > limit:
        raise ValueError(
            f"{path}: the picture would be {width} x {height}, and a side of a {name} has at most "
            f"{limit} pixels: choose .png, or draw fewer images"
        )


def encoded(image: Tensor, suffix: str = ".png", **options: Any) -> bytes:
    """Encodes uint8 (1, 3 or 4, H, W) as a file of that suffix.

    JPEG has quality 95 with full colour resolution, WebP is lossless.

    Args:
        image: the picture; JPEG has no fourth channel.
        suffix: one of ``SUFFIXES``.
        options: of PIL's ``save``.
    """
    name, _, defaults = _FORMATS[suffix.lower()]
    array = image.permute(1, 2, 0).contiguous().cpu().numpy()
    buffer = io.BytesIO()
    picture = Image.fromarray(array[:, :, 0] if len(image) == 1 else array)
    picture.save(buffer, name, **{**defaults, **options})
    return buffer.getvalue()


def png(image: Tensor, optimize: bool = True) -> bytes:
    """Encodes uint8 (1, 3 or 4, H, W) as PNG; ``optimize`` takes longer for a smaller file."""
    return encoded(image, ".png", optimize=optimize)


def save_png(image: Tensor, path: str | Path) -> Path:
    """Writes uint8 (1, 3 or 4, H, W) as PNG; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(image, optimize=False))  # one by one to the disk would be slow for 50,000
    return path


def save_picture(image: Tensor, path: str | Path) -> Path:
    """Writes uint8 (1, 3 or 4, H, W) by the path's suffix, whole or not at all.

    Raises:
        ValueError: see ``check_picture``.
    """
    path = Path(path)
    check_picture(path, *image.shape[1:])
    return write_atomically(path, encoded(image, path.suffix))
