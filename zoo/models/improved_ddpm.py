"""Improved DDPM (arXiv:2102.09672): pixels, a learned variance, L_hybrid or L_vlb."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from zoo.conditioner import Conditioner
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.variance import LearnedVariance
from zoo.first_stage import Identity
from zoo.guidance import Guidance
from zoo.module import DiffusionModule
from zoo.recipe import Recipe
from zoo.sampler import Sampler


class ImprovedDDPM(DiffusionModule):
    """A diffusion of pixels whose network predicts the mean and the variance.

    Args:
        denoiser: C channels in, 2 C out.
        diffusion: with a learned variance; the paper's is cosine, eps, L_hybrid.
        image_shape: (C, H, W).
        sampler: the default walk of ``generate``.
        conditioner: ``Unconditional`` when None.
        guidance: ``Unguided`` when None.
        clock: a level to the network's own time.
        recipe: how to train.

    Raises:
        ValueError: the variance is fixed, or the parts do not go together.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        diffusion: GaussianDiffusion,
        image_shape: Sequence[int],
        sampler: Sampler,
        conditioner: Conditioner | None = None,
        guidance: Guidance | None = None,
        clock: Any = None,
        recipe: Recipe | None = None,
    ) -> None:
        if not isinstance(diffusion.variance, LearnedVariance):
            raise ValueError("ImprovedDDPM learns its variance: use LearnedVariance, or zoo.DDPM")
        super().__init__(
            denoiser,
            diffusion,
            Identity(),
            image_shape,
            sampler,
            conditioner,
            guidance,
            clock,
            recipe,
        )
