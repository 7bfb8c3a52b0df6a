"""The base of the KL and the VQ autoencoder: two halves, and the scale of the latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from zoo.draw import Draw
from zoo.first_stage.encoder_decoder import AutoencoderSizes, Decoder, Encoder
from zoo.layers.stage import check_attention_at, check_sides
from zoo.part import Part
from zoo.system.tensors import IMAGES, check_floats


class TrainingPass(NamedTuple):
    """One batch's share of the losses of an autoencoder.

    Attributes:
        reconstruction: (B, C, H, W), about in [-1, 1].
        penalties: numbers that enter the loss, each with a weight of its own.
        figures: numbers to look at only.
    """

    reconstruction: Tensor
    penalties: dict[str, Tensor]
    figures: dict[str, Tensor]


class ConvAutoencoder(Part, nn.Module):
    """Images to latents and back by convolutions (LDM, section 3.1); see its two subclasses.

    Args:
        image_channels: channels of the images.
        latent_channels: channels of the latents (LDM's ``embed_dim``).
        channels: the base width.
        channel_mult: width of each level in units of ``channels``; one level more halves once more.
        num_res_blocks: residual blocks per level of the encoder (one more in the decoder).
        attention_at: downsampling factors with attention.
        mid_attention: attention at the lowest resolution, between two residual blocks.
        z_channels: channels between encoder and decoder, ``latent_channels`` when None.
        dropout: in every residual block.
        norm_groups: groups of every group norm.

    Attributes:
        downsampling: images' sides must be multiples of it.
        bounds: None: latents have no range.
        shift: (1, C, 1, 1) subtracted from a drawn latent, before
        scale: (1, C, 1, 1) multiplies it, so that what is diffused has unit deviation.

    Raises:
        ValueError: sizes that do not fit each other.
    """

    moments_per_latent: ClassVar[int]
    """Channels of ``moments`` per channel of the latents."""
    penalty: ClassVar[str]
    """The one that ``training_pass`` gives."""

    bounds: tuple[float, float] | None = None
    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        image_channels: int = 3,
        latent_channels: int = 4,
        channels: int = 128,
        channel_mult: Sequence[float] = (1, 2, 4, 4),
        num_res_blocks: int = 2,
        attention_at: Sequence[int] = (),
        mid_attention: bool = True,
        z_channels: int | None = None,
        dropout: float = 0.0,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        self.image_channels, self.latent_channels = image_channels, latent_channels
        self.channels, self.channel_mult = channels, tuple(channel_mult)
        self.num_res_blocks, self.attention_at = num_res_blocks, tuple(attention_at)
        self.mid_attention, self.dropout = mid_attention, dropout
        self.z_channels, self.norm_groups = z_channels, norm_groups
        self.downsampling = 2 ** (len(self.channel_mult) - 1)
        check_attention_at(self.attention_at, len(self.channel_mult))
        z = latent_channels if z_channels is None else z_channels
        widths = [int(mult * channels) for mult in self.channel_mult]
        sizes = AutoencoderSizes(
            widths, num_res_blocks, self.attention_at, mid_attention, dropout, norm_groups
        )
        k = self.moments_per_latent
        self.encoder = Encoder(image_channels, k * z, sizes)
        self.quant_conv = nn.Conv2d(k * z, k * latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, z, 1)
        self.decoder = Decoder(z, image_channels, sizes)
        self.register_buffer("shift", torch.zeros(1, latent_channels, 1, 1))
        self.register_buffer("scale", torch.ones(1, latent_channels, 1, 1))

    def latent_shape(self, image_shape: Sequence[int]) -> tuple[int, int, int]:
        """(C, h, w) of the latents of an image (C, H, W).

        Raises:
            ValueError: a side is not a multiple of ``downsampling``.
        """
        _, height, width = image_shape
        f = self.downsampling
        check_sides(height, width, f)
        return self.latent_channels, height // f, width // f

    def moments(self, images: Tensor) -> Tensor:
        """The posterior's moments, (B, ``moments_per_latent`` C, h, w), of images in [-1, 1].

        Raises:
            ValueError: a side is not a multiple of ``downsampling``, the channels differ, or they
                are no floats (B, C, H, W).
        """
        check_floats(images, "images", (None,) * 4, remedy=IMAGES)
        if images.shape[1] != self.image_channels:
            raise ValueError(
                f"the autoencoder takes images of {self.image_channels} channels, "
                f"got {images.shape[1]}"
            )
        check_sides(images.shape[2], images.shape[3], self.downsampling)
        return self.quant_conv(self.encoder(images.to(self.quant_conv.weight.dtype)))

    def mean_variance(self, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the latents before shift and scale, each (B, C, h, w)."""
        raise NotImplementedError

    def draw(self, moments: Tensor, draw: Draw | None = None) -> Tensor:
        """Latents (B, C, h, w), shifted and scaled; their mean where ``draw`` is None."""
        return (self.posterior(moments, draw) - self.shift) * self.scale

    def posterior(self, moments: Tensor, draw: Draw | None = None) -> Tensor:
        """Latents (B, C, h, w) as the decoder's layers know them, before shift and scale."""
        raise NotImplementedError

    def decode(self, latents: Tensor) -> Tensor:
        """Images (B, C, H, W), about in [-1, 1], of shifted and scaled latents.

        Raises:
            ValueError: they are no floats (B, C, h, w) of so many channels.
        """
        check_floats(latents, "latents", (None, self.latent_channels, None, None))
        return self.reconstruction(latents / self.scale + self.shift)

    def reconstruction(self, posterior: Tensor) -> Tensor:
        """Images (B, C, H, W) of latents before shift and scale."""
        return self.decoder(self.post_quant_conv(posterior.to(self.quant_conv.weight.dtype)))

    def training_pass(self, images: Tensor, draw: Draw | None) -> TrainingPass:
        """Images (B, C, H, W) in [-1, 1] through latents and back, and what the losses need."""
        raise NotImplementedError

    @torch.no_grad()
    def set_scale(self, shift: Tensor | float, scale: Tensor | float) -> None:
        """Sets the shift that is subtracted from latents and the scale that then multiplies them.

        Args:
            shift: a number, or one per channel: the latents' mean.
            scale: a number, or one per channel: one over the latents' deviation (0.18215 in
                Stable Diffusion).

        Raises:
            ValueError: a scale is not positive and finite, or there is not one per channel.
        """
        for buffer, number, name in ((self.shift, shift, "shift"), (self.scale, scale, "scale")):
            value = torch.as_tensor(number, dtype=torch.float64).flatten()
            if len(value) not in (1, self.latent_channels) or not value.isfinite().all():
                raise ValueError(
                    f"{name} must be one finite number, or one for each of {self.latent_channels} "
                    f"channels, got {value.tolist()}"
                )
            if name == "scale" and not (value > 0).all():
                raise ValueError(f"scale must be positive, got {value.tolist()}")
            buffer.copy_(value.view(1, -1, 1, 1).expand(buffer.shape))
