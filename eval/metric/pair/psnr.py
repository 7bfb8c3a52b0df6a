"""PSNR: the squared error of a reconstruction's 8-bit pixels against their range, in decibels."""

from __future__ import annotations

from torch import Tensor

from eval.metric.pair.pair import PairMetric, check_images
from zoo.models.autoencoder import peak_signal_to_noise


def psnr(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """``10 log10(255^2 / MSE)`` of each pair, (B,) float64; at most 100.

    The mean square error is over all pixels and channels of one image.

    Args:
        originals: (B, C, H, W) uint8.
        reconstructions: the same.

    Raises:
        ValueError: they are not uint8 of one shape.
    """
    check_images(originals, reconstructions)
    # in [0, 2], where the peak is 2 as it is in [-1, 1]
    return peak_signal_to_noise(reconstructions.double() / 127.5, originals.double() / 127.5)


class PSNR(PairMetric):
    """The mean over images of their peak signal-to-noise ratios."""

    stem, title = "psnr", "PSNR"
    unit = "dB"
    definition = (
        "Peak signal-to-noise ratio of reconstructions, in decibels: how small the mean square "
        "error of an image's pixels is against their range, averaged over images. 20 means an "
        "error of a tenth of the range, 40 of a hundredth."
    )
    higher_is_better = True
    settings = (
        "10 log10(255^2 / MSE) of images rounded to 8 bits, MSE over pixels and channels, at most "
        "100 dB; mean over images"
    )

    def compare(self, originals: Tensor, reconstructions: Tensor) -> Tensor:
        return psnr(originals, reconstructions)
