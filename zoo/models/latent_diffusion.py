"""Latent diffusion (arXiv:2112.10752): the latents of a frozen autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from zoo.conditioner import Conditioner
from zoo.diffusion.clock import Clock
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.first_stage import FirstStage, Identity
from zoo.guidance import Guidance
from zoo.module import DiffusionModule
from zoo.recipe import Recipe
from zoo.sampler import Sampler


class LatentDiffusion(DiffusionModule):
    """A diffusion of latents; the autoencoder is frozen and saved with the model.

    Args:
        denoiser: c channels in and out, c the latents' channels.
        diffusion: the paper's is scaled_linear, eps, L_simple.
        first_stage: a trained autoencoder.
        image_shape, sampler, ...: see ``DiffusionModule``.

    Raises:
        ValueError: there is no autoencoder, or the parts do not go together.
    """

    takes_first_stage = True

    def __init__(
        self,
        denoiser: nn.Module,
        diffusion: GaussianDiffusion,
        first_stage: FirstStage,
        image_shape: Sequence[int],
        sampler: Sampler,
        conditioner: Conditioner | None = None,
        guidance: Guidance | None = None,
        clock: Clock | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        if first_stage is None or isinstance(first_stage, Identity):
            raise ValueError(
                f"{type(self).__name__} diffuses the latents of an autoencoder, got "
                f"{type(first_stage).__name__}: give autoencoder=FILE, made by "
                "`zoo train model=autoencoder`"
            )
        super().__init__(
            denoiser, diffusion, first_stage, image_shape, sampler, conditioner, guidance, clock,
            recipe,
        )  # fmt: skip
