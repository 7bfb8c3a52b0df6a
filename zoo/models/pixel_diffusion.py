"""The base of DDPM and improved DDPM: pixels, and a variance that is fixed or learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from zoo.conditioner import Conditioner
from zoo.diffusion.clock import Clock
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.variance import LearnedVariance
from zoo.first_stage import Identity
from zoo.guidance import Guidance
from zoo.module import DiffusionModule
from zoo.recipe import Recipe
from zoo.sampler import Sampler


class PixelDiffusion(DiffusionModule):
    """A diffusion of pixels; its two subclasses say which variance is theirs, and their arguments.

    Raises:
        ValueError: the variance is not the class's, or the parts do not go together.
    """

    learns_variance: ClassVar[bool]
    remedy: ClassVar[str]
    """The error where the variance is another."""

    def __init__(
        self,
        denoiser: nn.Module,
        diffusion: GaussianDiffusion,
        image_shape: Sequence[int],
        sampler: Sampler,
        conditioner: Conditioner | None = None,
        guidance: Guidance | None = None,
        clock: Clock | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        if isinstance(diffusion.variance, LearnedVariance) != self.learns_variance:
            raise ValueError(self.remedy)
        super().__init__(
            denoiser, diffusion, Identity(), image_shape, sampler, conditioner, guidance, clock,
            recipe,
        )  # fmt: skip
