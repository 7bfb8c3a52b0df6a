"""DDPM (arXiv:2006.11239): pixels, a fixed variance, L_simple."""

from __future__ import annotations

from zoo.models.pixel_diffusion import PixelDiffusion


class DDPM(PixelDiffusion):
    """A diffusion of pixels whose network predicts the mean alone.

    Args:
        denoiser: C channels in, C out.
        diffusion: with a fixed variance; the paper's is linear, eps, L_simple.
        image_shape, sampler, ...: see ``DiffusionModule``.

    Raises:
        ValueError: the variance is learned, or the parts do not go together.
    """

    learns_variance = False
    remedy = "DDPM has a fixed variance: use FixedVariance, or zoo.ImprovedDDPM"
