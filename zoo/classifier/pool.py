"""From the feature maps of a U-Net's encoder to logits: four heads with one signature.

Each is called as ``pool(h, means)``: the last feature map (B, C, h, w), and of every layer the
mean over the pixels (B, C_i), which only the spatial ones read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers import GroupNorm, zero

_HIDDEN = 2048  # width of the spatial pools' hidden layer


class AdaptivePool(nn.Module):
    """The mean over the pixels, then one linear layer that begins at zero."""

    needs_means = False

    def __init__(self, channels: int, num_classes: int, norm_groups: int, norm_eps: float) -> None:
        super().__init__()
        self.norm = GroupNorm(norm_groups, channels, norm_eps)
        self.out = nn.Linear(channels, num_classes)
        zero(self.out)

    def forward(self, h: Tensor, means: Sequence[Tensor] = ()) -> Tensor:
        """(B, C, h, w) to (B, K)."""
        return self.out(F.silu(self.norm(h)).mean((2, 3)))


class AttentionPool(nn.Module):
    """The mean pixel attends to all pixels (CLIP, arXiv:2103.00020, section 2.4; ADM).

    Rows of ``qkv`` are [q | k | v], each split into heads; ``positions`` (1 + size^2, C) are added,
    the mean's first.
    """

    needs_means = False

    def __init__(
        self,
        channels: int,
        num_classes: int,
        size: int,
        num_heads: int,
        norm_groups: int,
        norm_eps: float,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = GroupNorm(norm_groups, channels, norm_eps)
        self.positions = nn.Parameter(torch.randn(1 + size**2, channels) / channels**0.5)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, num_classes)

    def forward(self, h: Tensor, means: Sequence[Tensor] = ()) -> Tensor:
        """(B, C, size, size) to (B, K)."""
        tokens = F.silu(self.norm(h)).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)
        tokens = tokens + self.positions.to(tokens.dtype)
        (q,) = self._heads(tokens[:, :1], slice(0, 1))  # the pixels' queries are not needed
        k, v = self._heads(tokens, slice(1, 3))
        pooled = F.scaled_dot_product_attention(q, k, v)  # (B, heads, 1, C / heads)
        return self.out(pooled.flatten(1))

    def _heads(self, tokens: Tensor, parts: slice) -> tuple[Tensor, ...]:
        rows = slice(parts.start * tokens.shape[2], parts.stop * tokens.shape[2])
        projected = F.linear(tokens, self.qkv.weight[rows], self.qkv.bias[rows])
        split = projected.unflatten(2, (parts.stop - parts.start, self.num_heads, -1))
        return split.permute(2, 0, 3, 1, 4).unbind(0)


class SpatialPool(nn.Module):
    """The means of all layers through one hidden layer, normalised (v2) or not.

    Args:
        channels: of all layers together.
        num_classes: K.
        norm_groups: of the hidden layer's norm; None has no norm, and ReLU in place of SiLU.
        norm_eps: of that norm.
    """

    needs_means = True

    def __init__(
        self, channels: int, num_classes: int, norm_groups: int | None, norm_eps: float
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, _HIDDEN)
        self.norm = None if norm_groups is None else GroupNorm(norm_groups, _HIDDEN, norm_eps)
        self.out = nn.Linear(_HIDDEN, num_classes)

    def forward(self, h: Tensor, means: Sequence[Tensor] = ()) -> Tensor:
        """Means (B, C_i) to (B, K)."""
        hidden = self.hidden(torch.cat(list(means), dim=1))
        return self.out(F.relu(hidden) if self.norm is None else F.silu(self.norm(hidden)))
