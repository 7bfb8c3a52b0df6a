"""DDPM (arXiv:2006.11239): pixels, a fixed variance, L_simple."""

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


class DDPM(DiffusionModule):
    """A diffusion of pixels whose network predicts the mean alone.

    Args:
        denoiser: C channels in, C out.
        diffusion: with a fixed variance; the paper's is linear, eps, L_simple.
        image_shape: (C, H, W).
        sampler: the default walk of ``generate``.
        conditioner: ``Unconditional`` when None.
        guidance: ``Unguided`` when None.
        clock: a level to the network's own time.
        recipe: how to train.

    Raises:
        ValueError: the variance is learned, or the parts do not go together.
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
        if isinstance(diffusion.variance, LearnedVariance):
            raise ValueError("DDPM has a fixed variance: use FixedVariance, or zoo.ImprovedDDPM")
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
