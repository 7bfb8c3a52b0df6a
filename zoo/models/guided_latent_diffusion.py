"""Latent diffusion with classifier-free guidance (arXiv:2112.10752, arXiv:2207.12598)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from zoo.conditioner import Conditioner
from zoo.diffusion.clock import Clock
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.first_stage import FirstStage
from zoo.guidance import ClassifierFree, Guidance
from zoo.models.latent_diffusion import LatentDiffusion
from zoo.recipe import Recipe
from zoo.sampler import Sampler


class GuidedLatentDiffusion(LatentDiffusion):
    """A conditional diffusion of latents, trained with condition dropout so that it can be guided.

    Args:
        denoiser: c channels in and out, with cross-attention or a label table.
        diffusion: the paper's is scaled_linear, eps, L_simple.
        first_stage: a trained autoencoder.
        conditioner: with dropout above 0.
        guidance: ``ClassifierFree(1.5)`` when None, the paper's scale for ImageNet.
        image_shape, sampler, ...: see ``DiffusionModule``.

    Raises:
        ValueError: the conditioner has no dropout, or the parts do not go together.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        diffusion: GaussianDiffusion,
        first_stage: FirstStage,
        image_shape: Sequence[int],
        sampler: Sampler,
        conditioner: Conditioner,
        guidance: Guidance | None = None,
        clock: Clock | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        if not conditioner.dropout:
            raise ValueError(
                "GuidedLatentDiffusion learns the null condition by dropout, got "
                f"{type(conditioner).__name__} without: set conditioner.dropout=0.1"
            )
        guidance = guidance if guidance is not None else ClassifierFree(1.5)
        super().__init__(
            denoiser, diffusion, first_stage, image_shape, sampler, conditioner, guidance, clock,
            recipe,
        )  # fmt: skip
