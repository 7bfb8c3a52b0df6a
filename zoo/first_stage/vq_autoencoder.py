"""The VQ autoencoder of latent diffusion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.draw import Draw
from zoo.first_stage.conv_autoencoder import ConvAutoencoder, TrainingPass
from zoo.first_stage.quantizer import Codebook, Quantized, codebook_usage


class VQAutoencoder(ConvAutoencoder):
    """An autoencoder with a codebook (LDM, section 3.1 and appendix G).

    LDM's VQ-f4: ``VQAutoencoder(3, 3, 128, (1, 2, 4))``. The quantisation belongs to the decoder:
    what is diffused, and what ``moments`` gives, are the latents before it (LDM's
    VQModelInterface), and ``decode`` quantises first.

    Args:
        num_codes: size of the codebook (LDM's ``n_embed``), whose codes are ``latent_channels``
            wide; all other arguments are those of ``ConvAutoencoder``.

    Attributes:
        codebook: its ``weight`` is (num_codes, latent_channels).

    Raises:
        ValueError: sizes that do not fit each other.
    """

    moments_per_latent = 1
    penalty = "codebook"

    def __init__(
        self,
        image_channels: int = 3,
        latent_channels: int = 3,
        channels: int = 128,
        channel_mult: Sequence[float] = (1, 2, 4),
        num_res_blocks: int = 2,
        attention_at: Sequence[int] = (),
        mid_attention: bool = True,
        z_channels: int | None = None,
        dropout: float = 0.0,
        norm_groups: int = 32,
        num_codes: int = 8192,
    ) -> None:
        super().__init__(
            image_channels, latent_channels, channels, channel_mult, num_res_blocks, attention_at,
            mid_attention, z_channels, dropout, norm_groups,
        )  # fmt: skip
        self.num_codes = num_codes
        self.codebook = Codebook(num_codes, latent_channels)

    def mean_variance(self, moments: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.posterior(moments)
        return mean, torch.zeros_like(mean)

    def posterior(self, moments: Tensor, draw: Draw | None = None) -> Tensor:
        return moments.to(torch.promote_types(moments.dtype, torch.float32))

    def reconstruction(self, posterior: Tensor) -> Tensor:
        return super().reconstruction(self.codebook(posterior).latents)

    def training_pass(self, images: Tensor, draw: Draw | None) -> TrainingPass:
        """The penalty ``codebook`` is a mean over latents; the figures say how many codes serve."""
        quantized = self.quantize(images)
        reconstruction = super().reconstruction(quantized.latents)
        perplexity, num_used = codebook_usage(quantized.indices, self.num_codes)
        figures = {"perplexity": perplexity, "codes_used": num_used.float()}
        return TrainingPass(reconstruction, {"codebook": quantized.loss}, figures)

    def quantize(self, images: Tensor) -> Quantized:
        """Codes, indices and loss of images (B, C, H, W) in [-1, 1]."""
        return self.codebook(self.posterior(self.moments(images)))

    def decode_indices(self, indices: Tensor) -> Tensor:
        """Images (B, C, H, W) of code indices (B, h, w)."""
        return super().reconstruction(self.codebook.look_up(indices))
