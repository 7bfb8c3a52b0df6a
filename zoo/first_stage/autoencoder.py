"""The KL autoencoder of latent diffusion."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.draw import Draw
from zoo.first_stage.conv_autoencoder import ConvAutoencoder, TrainingPass


class KLAutoencoder(ConvAutoencoder):
    """An autoencoder whose latents are Gaussian (LDM, section 3.1 and appendix G).

    LDM's KL-f8, Stable Diffusion's: ``KLAutoencoder(3, 4, 128, (1, 2, 4, 4))``. ``moments`` are
    mean and log variance, (B, 2C, h, w).

    Arguments and errors are those of ``ConvAutoencoder``.
    """

    moments_per_latent = 2
    penalty = "kl"

    def mean_variance(self, moments: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = mean_log_variance(moments)
        return mean, log_variance.double().exp()

    def posterior(self, moments: Tensor, draw: Draw | None = None) -> Tensor:
        mean, log_variance = mean_log_variance(moments)
        if draw is None:
            return mean
        return torch.addcmul(mean, (0.5 * log_variance).exp(), draw.normal(mean))

    def training_pass(self, images: Tensor, draw: Draw | None) -> TrainingPass:
        """The penalty ``kl`` is the mean over images of a sum over latents, in nats."""
        moments = self.moments(images)
        reconstruction = self.reconstruction(self.posterior(moments, draw))
        return TrainingPass(reconstruction, {"kl": kl_divergence(moments).mean()}, {})


def mean_log_variance(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance, float32 at least; LDM's bounds keep the variance finite."""
    mean, log_variance = moments.to(torch.promote_types(moments.dtype, torch.float32)).chunk(2, 1)
    return mean, log_variance.clamp(-30.0, 20.0)


def kl_divergence(moments: Tensor) -> Tensor:
    """KL of N(mean, variance) from N(0, 1), summed over each latent: (B,), in nats."""
    mean, log_variance = mean_log_variance(moments)
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum((1, 2, 3))
