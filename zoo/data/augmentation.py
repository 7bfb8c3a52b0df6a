"""Small random changes that leave an image what it is."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.draw import Draw


def moved(
    images: Tensor, draw: Draw, rotation: float = 10.0, scale: float = 0.1, shift: float = 0.06
) -> Tensor:
    """Images (B, C, H, W) turned, scaled and shifted a little, their edges carried outwards.

    Every number comes from ``draw``, whose streams belong to single images, so an image's
    augmentation depends neither on its batch nor on the process.

    Args:
        images: of any range.
        draw: of B images.
        rotation: degrees at most, either way.
        scale: largest relative change of the size.
        shift: largest shift in both directions, as a part of the side.
    """
    angle = _between(draw, math.radians(rotation))
    factor = 1 + _between(draw, scale)
    cos, sin = angle.cos() / factor, angle.sin() / factor
    right, down = 2 * _between(draw, shift), 2 * _between(draw, shift)  # the grid is 2 wide
    rows = [torch.stack([cos, -sin, right]), torch.stack([sin, cos, down])]
    theta = torch.stack(rows).permute(2, 0, 1).to(images)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def noisy(images: Tensor, draw: Draw, noise: float = 0.05) -> Tensor:
    """Images (B, C, H, W) with Gaussian noise, each of its own deviation of at most ``noise``."""
    strength = (noise * draw.uniform()).to(images).reshape(-1, 1, 1, 1)
    return images + strength * draw.normal(images)


def _between(draw: Draw, limit: float) -> Tensor:
    """One number in [-limit, limit) per image."""
    return limit * (2 * draw.uniform() - 1)
