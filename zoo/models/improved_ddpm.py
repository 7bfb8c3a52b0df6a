"""Improved DDPM (arXiv:2102.09672): pixels, a learned variance, L_hybrid or L_vlb."""

from __future__ import annotations

from zoo.models.pixel_diffusion import PixelDiffusion


class ImprovedDDPM(PixelDiffusion):
    """A diffusion of pixels whose network predicts the mean and the variance.

    Args:
        denoiser: C channels in, 2 C out.
        diffusion: with a learned variance; the paper's is cosine, eps, L_hybrid.
        image_shape, sampler, ...: see ``DiffusionModule``.

    Raises:
        ValueError: the variance is fixed, or the parts do not go together.
    """

    learns_variance = True
    remedy = "ImprovedDDPM learns its variance: use LearnedVariance, or zoo.DDPM"
