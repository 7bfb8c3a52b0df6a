"""From any picture to the pixels of a data set: one size, one number of channels."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.data.picture import picture, plain

_MODES = {1: "L", 3: "RGB"}
FILTER = Image.Resampling.BICUBIC
"""Bicubic, which PIL widens when it shrinks, so that it does not alias (Parmar et al. 2022)."""
_LONGEST = 64  # sides of the square; a picture that is longer is cut before it is resized


def pixels(image: Image.Image, image_size: int, channels: int) -> Tensor:
    """Resizes the shorter side to ``image_size`` (bicubic) and cuts out the centre square.

    Before, it becomes opaque and 8 bits deep by the rule of ``zoo.data.picture``; with one channel
    colours become grey (Rec. 601).

    Returns:
        (channels, image_size, image_size) uint8.

    Raises:
        UnsuitableImage: see ``zoo.data.picture``.
    """
    image = plain(image)
    image = image if image.mode == _MODES[channels] else image.convert(_MODES[channels])
    if image.size != (image_size, image_size):
        image = _centre(image, image_size)
    return planes(image)


def decoded_pixels(encoded: bytes, image_size: int, channels: int) -> Tensor:
    """The pixels of a file (PNG, JPEG ...), turned as the camera noted it.

    Raises:
        UnsuitableImage: see ``zoo.data.picture``.
        Exception: it is broken; Pillow raises any.
    """
    return pixels(picture(encoded), image_size, channels)


def planes(image: Image.Image) -> Tensor:
    """A picture of mode L or RGB as (1 or 3, H, W) uint8."""
    array = np.array(image, dtype=np.uint8).reshape(image.height, image.width, -1)
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def _centre(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    scale = side / min(width, height)
    size = max(side, round(width * scale)), max(side, round(height * scale))
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    if max(size) > _LONGEST * side:  # whole, a line of pixels would become gigabytes
        across, down = width / size[0], height / size[1]
        box = left * across, top * down, (left + side) * across, (top + side) * down
        return image.resize((side, side), FILTER, box)
    return image.resize(size, FILTER).crop((left, top, left + side, top + side))
