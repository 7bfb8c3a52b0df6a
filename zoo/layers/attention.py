"""Attention over the pixels of an image, and from them to the tokens of a condition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.block import GroupNorm, zero


def head_count(width: int, num_heads: int, head_channels: int | None) -> int:
    """Attention heads of ``head_channels`` each; ``num_heads`` where that is None.

    Raises:
        ValueError: ``head_channels`` does not divide the width.
    """
    if head_channels is None:
        return num_heads
    if width % head_channels:
        raise ValueError(f"head_channels={head_channels} does not divide {width}")
    return width // head_channels


class Attention(nn.Module):
    """Multi-head attention over tokens, to themselves or to a context.

    Args:
        channels: width of the tokens.
        num_heads: must divide ``channels``.
        context_dim: width of the context attended to; None attends to the tokens themselves.
        bias: whether query, key and value have one (the output always has).

    Raises:
        ValueError: the heads do not divide the channels.
    """

    def __init__(
        self, channels: int, num_heads: int, context_dim: int | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        if num_heads < 1 or channels % num_heads:
            raise ValueError(f"{num_heads} attention heads do not divide {channels} channels")
        self.num_heads, self.context_dim = num_heads, context_dim
        # Rows are [q | k | v], each split into heads: one product instead of three.
        if context_dim is None:
            self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        else:
            self.q = nn.Linear(channels, channels, bias=bias)
            self.kv = nn.Linear(context_dim, 2 * channels, bias=bias)
        self.out = nn.Linear(channels, channels)

    def forward(
        self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """x: (B, N, C), context: (B, L, D), mask: (B, L) bool, True where a token counts."""
        if self.context_dim is None:
            q, k, v = self._heads(self.qkv(x), 3)
        else:
            (q,), (k, v) = self._heads(self.q(x), 1), self._heads(self.kv(context), 2)
        mask = None if mask is None else mask[:, None, None, :]
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, heads, N, C / heads)
        return self.out(h.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        return x.unflatten(2, (parts, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class AttentionBlock(nn.Module):
    """Self-attention over the pixels of an image, added to it (DDPM, appendix B).

    Args:
        channels: width of the image.
        num_heads: must divide ``channels``.
        norm_groups: groups of the norm in front; 0 has none.
        norm_eps: of that norm.
    """

    def __init__(
        self, channels: int, num_heads: int = 1, norm_groups: int = 32, norm_eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.norm = GroupNorm(norm_groups, channels, norm_eps) if norm_groups else nn.Identity()
        self.attention = Attention(channels, num_heads)

    def zero_output(self) -> None:
        """Makes the block begin as the identity."""
        zero(self.attention.out)

    def forward(
        self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """x: (B, C, H, W); a context is ignored."""
        return _added(x, self.attention(_tokens(self.norm(x))))


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention and a gated feed-forward layer (LDM, appendix E.2)."""

    def __init__(self, channels: int, num_heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attention1 = Attention(channels, num_heads, bias=False)
        self.norm2 = nn.LayerNorm(channels)
        self.attention2 = Attention(channels, num_heads, context_dim, bias=False)
        self.norm3 = nn.LayerNorm(channels)
        self.feed_forward_in = nn.Linear(channels, 8 * channels)  # [value | gate]
        self.feed_forward_out = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, N, C), context: (B, L, D), mask: (B, L) bool."""
        x = x + self.attention1(self.norm1(x))
        x = x + self.attention2(self.norm2(x), context, mask)
        value, gate = self.feed_forward_in(self.norm3(x)).chunk(2, dim=2)
        return x + self.feed_forward_out(value * F.gelu(gate))


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of an image, added to it (LDM, section 3.3).

    Args:
        channels: width of the image.
        num_heads: heads of each attention.
        context_dim: width of the condition's tokens.
        depth: number of transformer blocks.
        norm_groups: groups of the norm.
    """

    def __init__(
        self, channels: int, num_heads: int, context_dim: int, depth: int = 1, norm_groups: int = 32
    ) -> None:
        super().__init__()
        self.norm = GroupNorm(norm_groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.blocks = nn.ModuleList(
            TransformerBlock(channels, num_heads, context_dim) for _ in range(depth)
        )
        self.proj_out = nn.Linear(channels, channels)

    def zero_output(self) -> None:
        """Makes the layer begin as the identity."""
        zero(self.proj_out)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, C, H, W), context: (B, L, D), mask: (B, L) bool."""
        h = self.proj_in(_tokens(self.norm(x)))
        for block in self.blocks:
            h = block(h, context, mask)
        return _added(x, self.proj_out(h))


def _tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, HW, C), by torch's fast copy, or none where x is channels-last."""
    return x.contiguous(memory_format=torch.channels_last).flatten(2).transpose(1, 2)


def _added(x: Tensor, tokens: Tensor) -> Tensor:
    """x (B, C, H, W) + its tokens (B, HW, C), in x's memory format."""
    return x + tokens.transpose(1, 2).unflatten(2, x.shape[2:])
