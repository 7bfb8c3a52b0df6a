"""The layers that U-Nets and autoencoders share, and the embedding of time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.dropout import Dropout


def time_embedding(
    t: Tensor, dim: int, sine_first: bool = False, frequency_shift: float = 0.0
) -> Tensor:
    """Sines and cosines of the time at ``dim / 2`` frequencies from 1 down to about 1/10,000.

    Two conventions are in use: [cos, sin] without a shift (OpenAI, LDM), and [sin, cos] with the
    last frequency at exactly 1/10,000, a shift of 1 (DDPM).

    Args:
        t: (B,) times, fractional allowed.
        dim: the width, even.
        sine_first: [sin, cos] instead of [cos, sin].
        frequency_shift: taken from the number of frequencies in the exponent's denominator.

    Returns:
        (B, dim) in float32 (float64 for float64 times).
    """
    half = dim // 2
    t = t if t.dtype == torch.float64 else t.float()
    steps = torch.arange(half, dtype=t.dtype, device=t.device)
    angles = t[:, None] * torch.exp(steps * (-math.log(10_000) / (half - frequency_shift)))
    sine, cosine = angles.sin(), angles.cos()
    return torch.cat([sine, cosine] if sine_first else [cosine, sine], dim=1)


def time_network(channels: int, embedding_dim: int) -> nn.Sequential:
    """From the time embedding (B, ``channels``) to what residual blocks read (B, D), inactivated.

    Raises:
        ValueError: ``channels`` are odd or not positive.
    """
    if channels % 2 or channels < 1:
        raise ValueError(f"channels must be even for the time embedding, got {channels}")
    return nn.Sequential(
        nn.Linear(channels, embedding_dim), nn.SiLU(), nn.Linear(embedding_dim, embedding_dim)
    )


class GroupNorm(nn.GroupNorm):
    """Group normalisation that stays in the input's precision under autocast.

    Raises:
        ValueError: there are no groups, or they do not divide the channels.
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        if groups < 1:
            raise ValueError(f"norm_groups must be positive, got {groups}")
        if channels % groups:
            raise ValueError(
                f"norm_groups={groups} does not divide a width of {channels} channels: "
                f"possible is a common divisor such as {math.gcd(groups, channels)}"
            )
        super().__init__(groups, channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, ...), the result of the same shape and precision."""
        if x.is_cuda and x.dtype != self.weight.dtype:
            # Autocast on CUDA would compute and return float32, twice the traffic of this and of
            # the activation behind it; the kernel sums in float32 either way.
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            with torch.autocast("cuda", enabled=False):
                return F.group_norm(x, self.num_groups, weight, bias, self.eps)
        return super().forward(x)


class Downsample(nn.Module):
    """Halves the resolution by a convolution of stride 2.

    Args:
        channels: width.
        asymmetric_padding: pad right and below only, as TensorFlow's "SAME" does (DDPM, LDM's
            autoencoders); otherwise one pixel on each side (OpenAI).
    """

    def __init__(self, channels: int, asymmetric_padding: bool = False) -> None:
        super().__init__()
        self.asymmetric_padding = asymmetric_padding
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=int(not asymmetric_padding))

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, C, H / 2, W / 2); an embedding is ignored."""
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.asymmetric_padding else x)


class Upsample(nn.Module):
    """Doubles the resolution by repeating pixels, then convolves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, C, 2 H, 2 W); an embedding is ignored."""
        return self.conv(_double(x))


class ResBlock(nn.Module):
    """Two convolutions around which the input is carried (DDPM, appendix B).

    Args:
        in_channels: width of the input.
        out_channels: width of the output.
        embedding_dim: width of the (activated) embedding added between the convolutions, or None.
        dropout: before the second convolution.
        scale_shift_norm: the embedding scales and shifts the second norm (Improved DDPM, ADM's
            adaptive group normalisation) instead of being added.
        up: doubles the resolution inside the block (ADM).
        down: halves the resolution inside the block (ADM).
        norm_groups: groups of the norms.
        norm_eps: added to the norms' variance.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding_dim: int | None = None,
        dropout: float = 0.0,
        scale_shift_norm: bool = False,
        up: bool = False,
        down: bool = False,
        norm_groups: int = 32,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.scale_shift_norm, self.up, self.down = scale_shift_norm, up, down
        self.norm1 = GroupNorm(norm_groups, in_channels, norm_eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        if embedding_dim is not None:
            self.embedding = nn.Linear(embedding_dim, out_channels * (1 + scale_shift_norm))
        self.norm2 = GroupNorm(norm_groups, out_channels, norm_eps)
        self.dropout = Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        self.has_shortcut = in_channels != out_channels

    def zero_output(self) -> None:
        """Makes the block begin as the identity."""
        zero(self.conv2)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """x: (B, C, H, W), embedding: (B, D) already activated."""
        h = activate(self.norm1(x))
        h, x = self._resample(h), self._resample(x)
        h = self.conv1(h)
        if embedding is None:
            h = self.norm2(h)
        elif self.scale_shift_norm:
            scale, shift = self.embedding(embedding)[:, :, None, None].chunk(2, dim=1)
            h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        else:
            h = self.norm2(add_to(h, self.embedding(embedding)[:, :, None, None]))
        h = self.conv2(self.dropout(activate(h)))
        return add_to(h, self.shortcut(x) if self.has_shortcut else x)

    def _resample(self, x: Tensor) -> Tensor:
        if self.up:
            return _double(x)
        return F.avg_pool2d(x, 2) if self.down else x


def activate(h: Tensor) -> Tensor:
    """SiLU of a tensor that nobody else reads; in its own memory where no gradient needs it."""
    return F.silu(h, inplace=not torch.is_grad_enabled())


def add_to(h: Tensor, other: Tensor) -> Tensor:
    """The sum, in the memory of h: a product's output, which its backward pass does not read.

    New memory would cost more than the addition: its pages have to be cleared first.
    """
    return h.add_(other) if h.dtype == other.dtype else h + other


def zero(module: nn.Module) -> None:
    """Fills a module's parameters with zeros, so that a residual branch begins as nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
