"""Quarters of the noise levels, for figures by how noisy an image is."""

from __future__ import annotations

from torch import Tensor

QUARTILES = 4


def quartile(t: Tensor, end: float) -> Tensor:
    """The quartile 0..3 of times t (B,) in (0, end]; for integer times all four are equally large.

    >>> import torch
    >>> quartile(torch.tensor([1.0, 250.0, 251.0, 1000.0]), 1000).tolist()
    [0, 0, 1, 3]
    """
    return (t * QUARTILES / end).ceil().long().sub(1).clamp(0, QUARTILES - 1)
