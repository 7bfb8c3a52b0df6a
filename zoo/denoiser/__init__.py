"""Denoisers: networks from a noisy x, a time and a condition to an output of x's size."""

from zoo.denoiser.unet import UNet

__all__ = ["UNet"]
