"""Latent diffusion (arXiv:2112.10752): the latents of a frozen autoencoder."""

from __future__ import annotations

from zoo.conditioner import Conditioner
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.first_stage import FirstStage, Identity
from zoo.module import DiffusionModule


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

    @classmethod
    def check_kind(
        cls, diffusion: GaussianDiffusion, first_stage: FirstStage, conditioner: Conditioner | None
    ) -> None:
        if first_stage is None or isinstance(first_stage, Identity):
            raise ValueError(
                f"{cls.__name__} diffuses the latents of an autoencoder, got "
                f"{type(first_stage).__name__}: give autoencoder=FILE, made by "
                "`zoo train model=autoencoder`"
            )
