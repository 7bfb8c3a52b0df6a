"""Latent diffusion with classifier-free guidance (arXiv:2112.10752, arXiv:2207.12598)."""

from __future__ import annotations

from zoo.conditioner import Conditioner
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.first_stage import FirstStage
from zoo.guidance import ClassifierFree
from zoo.models.latent_diffusion import LatentDiffusion


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

    @classmethod
    def check_kind(
        cls, diffusion: GaussianDiffusion, first_stage: FirstStage, conditioner: Conditioner | None
    ) -> None:
        if conditioner is None or not conditioner.dropout:
            raise ValueError(
                "GuidedLatentDiffusion learns the null condition by dropout, got "
                f"{type(conditioner).__name__} without: set conditioner.dropout=0.1"
            )
        super().check_kind(diffusion, first_stage, conditioner)

    def default_guidance(self) -> ClassifierFree:
        return ClassifierFree(1.5)
