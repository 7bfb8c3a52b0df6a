"""From any picture to the pixels of a data set: orientation, colour, size."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

_MODES = {1: "L", 3: "RGB"}
FILTER = Image.Resampling.BICUBIC
"""Bicubic, which PIL widens when it shrinks, so that it does not alias (Parmar et al. 2022)."""


def pixels(image: Image.Image, image_size: int, channels: int) -> Tensor:
    """Resizes the shorter side to ``image_size`` (bicubic) and cuts out the centre square.

    Transparent parts become white, and 16 bits per channel become 8.

    Returns:
        (channels, image_size, image_size) uint8.
    """
    image = _in_mode(image, _MODES[channels])
    width, height = image.size
    if (width, height) != (image_size, image_size):
        scale = image_size / min(width, height)
        size = max(image_size, round(width * scale)), max(image_size, round(height * scale))
        image = image.resize(size, FILTER)
        left, top = (size[0] - image_size) // 2, (size[1] - image_size) // 2
        image = image.crop((left, top, left + image_size, top + image_size))
    array = np.array(image, dtype=np.uint8).reshape(image_size, image_size, channels)
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def decoded_pixels(encoded: bytes, image_size: int, channels: int) -> Tensor:
    """The pixels of an encoded image (PNG, JPEG ...), turned as the camera noted it.

    Raises what PIL raises if it is broken, which is any exception.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return pixels(image, image_size, channels)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.array(image) >> 8).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
