"""SSIM: brightness, contrast and structure of small windows compared (Wang et al. 2004)."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from eval.metric.pair.pair import PairMetric, check_images

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """Structural similarity of each pair, (B,) float64 in [-1, 1] (Wang et al. 2004, eq. 13).

    ``(2 m_a m_b + C1) (2 s_ab + C2) / ((m_a^2 + m_b^2 + C1) (s_a^2 + s_b^2 + C2))`` with means,
    variances and covariance under a Gaussian window of 11 pixels and sigma 1.5 that is entirely
    inside the image, averaged over the window's places and then over channels, as in scikit-image
    with these settings. Images are neither downsampled beforehand nor mirrored at their borders
    (torchmetrics mirrors them, which changes a few hundredths on small images).

    Args:
        originals: (B, C, H, W) uint8.
        reconstructions: the same.

    Raises:
        ValueError: they are not uint8 of one shape, or smaller than the window.
    """
    check_images(originals, reconstructions)
    height, width = originals.shape[2:]
    if min(height, width) < _WINDOW:
        raise ValueError(
            f"SSIM's window is {_WINDOW} pixels wide, too wide for images of {height}x{width}"
        )
    a, b = originals.double(), reconstructions.double()
    mean_a, mean_b = _windowed(a), _windowed(b)
    product = mean_a * mean_b
    squares = mean_a.square() + mean_b.square()
    covariance = _windowed(a * b) - product
    variances = _windowed(a.square() + b.square()) - squares
    similarity = (2 * product + _C1) * (2 * covariance + _C2)
    similarity /= (squares + _C1) * (variances + _C2)
    return similarity.mean((1, 2, 3))


def _windowed(images: Tensor) -> Tensor:
    """Gaussian means, (B, C, H - 10, W - 10): two products with banded matrices."""
    height, width = images.shape[2:]
    rows, columns = (_band(size).to(images.device) for size in (height, width))
    return rows @ images @ columns.T


@functools.lru_cache(maxsize=8)
def _band(size: int) -> Tensor:
    """(size - 10, size) float64: row i is the window that begins at pixel i."""
    places = torch.arange(size, dtype=torch.float64)
    centres = torch.arange(size - _WINDOW + 1, dtype=torch.float64)[:, None] + _WINDOW // 2
    distance = places - centres
    weights = (-0.5 * (distance / _SIGMA).square()).exp()
    weights = weights.where(distance.abs() <= _WINDOW // 2, 0.0)
    return weights / weights.sum(dim=1, keepdim=True)


class SSIM(PairMetric):
    """The mean over images of their structural similarities."""

    stem, title = "ssim", "SSIM"
    definition = (
        "Structural similarity of reconstructions: whether brightness, contrast and structure "
        "within small windows are those of the original; 1 for the same image."
    )
    higher_is_better = True
    settings = (
        "Wang et al. 2004 of images rounded to 8 bits, data range 255, Gaussian window 11 with "
        "sigma 1.5 inside the image, K 0.01 and 0.03, channels averaged; mean over images"
    )

    def compare(self, originals: Tensor, reconstructions: Tensor) -> Tensor:
        return ssim(originals, reconstructions)
