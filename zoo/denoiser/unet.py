"""One U-Net, from DDPM's to Stable Diffusion's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo.denoiser.check_input import check_input
from zoo.layers import Downsample, GroupNorm, ResBlock, Upsample, time_embedding, time_network, zero
from zoo.layers.attention import AttentionBlock, SpatialTransformer, head_count
from zoo.layers.block import activate
from zoo.layers.stage import Stage, block_attention, check_attention_at, stages
from zoo.part import Part
from zoo.records import Condition


class UNet(Part, nn.Module):
    """The U-Net of DDPM, Improved DDPM, ADM, LDM and Stable Diffusion, which differ in facts.

    DDPM's own: ``norm_eps=1e-6, asymmetric_padding=True, sine_first=True, frequency_shift=1``.

    Args:
        in_channels: channels of x, those of a condition's image included.
        out_channels: channels of the output: twice x's where the variance is learned.
        channels: the base width; the time embedding is four times as wide.
        channel_mult: width of each level in units of ``channels``; one level more halves once more.
        num_res_blocks: residual blocks per level on the way down (one more on the way up).
        attention_at: downsampling factors with attention, 1 being full resolution.
        num_heads: attention heads, where ``head_channels`` is None.
        head_channels: width of one head; there are as many as fit.
        dropout: in every residual block.
        num_classes: rows of the label table, a null label's row included; None has no table.
        context_dim: width of a condition's tokens; given, attention is a spatial transformer with
            cross-attention.
        transformer_depth: blocks per spatial transformer.
        scale_shift_norm: the embedding scales and shifts a norm (Improved DDPM) or is added (DDPM).
        resblock_updown: resample within residual blocks (ADM) or by single convolutions.
        gradient_checkpointing: recompute each block in the backward pass: less memory, a third
            more time.
        norm_groups: groups of every group norm.
        norm_eps: of the group norms, except for the spatial transformers' own 1e-6.
        asymmetric_padding: pad right and below before a convolution of stride 2 (DDPM).
        sine_first: the time embedding is [sin, cos] (DDPM), not [cos, sin].
        frequency_shift: 1 for DDPM's time embedding, 0 for the others'.
        mid_attention: attention at the lowest resolution, between two residual blocks.
        num_heads_up: attention heads on the way up, where they are not ``num_heads``.
        mid_norm_groups: groups of the norm of the attention in the middle, where they are not
            ``norm_groups``; 0 has no norm there.

    Attributes:
        downsampling: x's sides must be multiples of it.

    Raises:
        ValueError: sizes that do not fit each other.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: int = 128,
        channel_mult: Sequence[float] = (1, 2, 2, 2),
        num_res_blocks: int = 2,
        attention_at: Sequence[int] = (2,),
        num_heads: int = 1,
        head_channels: int | None = None,
        dropout: float = 0.0,
        num_classes: int | None = None,
        context_dim: int | None = None,
        transformer_depth: int = 1,
        scale_shift_norm: bool = False,
        resblock_updown: bool = False,
        gradient_checkpointing: bool = False,
        norm_groups: int = 32,
        norm_eps: float = 1e-5,
        asymmetric_padding: bool = False,
        sine_first: bool = False,
        frequency_shift: float = 0.0,
        mid_attention: bool = True,
        num_heads_up: int | None = None,
        mid_norm_groups: int | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.channels = in_channels, out_channels, channels
        self.channel_mult, self.attention_at = tuple(channel_mult), tuple(attention_at)
        self.num_heads, self.head_channels = num_heads, head_channels
        self.num_res_blocks, self.dropout, self.num_classes = num_res_blocks, dropout, num_classes
        self.context_dim, self.transformer_depth = context_dim, transformer_depth
        self.scale_shift_norm, self.resblock_updown = scale_shift_norm, resblock_updown
        self.gradient_checkpointing = gradient_checkpointing
        self.norm_groups, self.norm_eps = norm_groups, norm_eps
        self.asymmetric_padding = asymmetric_padding
        self.sine_first, self.frequency_shift = sine_first, frequency_shift
        self.mid_attention = mid_attention
        self.num_heads_up, self.mid_norm_groups = num_heads_up, mid_norm_groups

        self.downsampling = 2 ** (len(self.channel_mult) - 1)
        self.embedding_dim = 4 * channels
        if not self.channel_mult or min(self.channel_mult) <= 0:
            raise ValueError("channel_mult is empty or not positive: a U-Net has a level or more")
        check_attention_at(self.attention_at, len(self.channel_mult))
        self._build(
            partial(
                ResBlock,
                embedding_dim=self.embedding_dim,
                dropout=dropout,
                scale_shift_norm=scale_shift_norm,
                norm_groups=norm_groups,
                norm_eps=norm_eps,
            )
        )
        for layer in self.modules():
            if isinstance(layer, ResBlock | AttentionBlock | SpatialTransformer):
                layer.zero_output()
        zero(self.conv_out)

    def _build(self, block: Callable[..., ResBlock]) -> None:
        widths = [int(mult * self.channels) for mult in self.channel_mult]
        last = len(widths) - 1
        self.time_embedding = time_network(self.channels, self.embedding_dim)
        if self.num_classes is not None:
            self.label_embedding = nn.Embedding(self.num_classes, self.embedding_dim)
        self.conv_in = nn.Conv2d(self.in_channels, widths[0], 3, padding=1)

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width, skips = widths[0], [widths[0]]
        for level, level_width in enumerate(widths):
            stage = Stage()
            for _ in range(self.num_res_blocks):
                attention = self._attention(level_width, level, self.num_heads)
                stage.append(block(width, level_width), attention)
                width = level_width
                skips.append(width)
            if level < last:
                stage.resample = (
                    block(width, width, down=True)
                    if self.resblock_updown
                    else Downsample(width, self.asymmetric_padding)
                )
                skips.append(width)
            self.down.append(stage)

        self.mid = Stage()
        attention = self._mid_attention(width) if self.mid_attention else None
        self.mid.append(block(width, width), attention)
        self.mid.append(block(width, width))

        heads_up = self.num_heads if self.num_heads_up is None else self.num_heads_up
        for level in range(last, -1, -1):
            stage = Stage()
            for _ in range(self.num_res_blocks + 1):
                layer = block(width + skips.pop(), widths[level])
                stage.append(layer, self._attention(widths[level], level, heads_up))
                width = widths[level]
            if level > 0:
                updown = self.resblock_updown
                stage.resample = block(width, width, up=True) if updown else Upsample(width)
            self.up.append(stage)

        self.norm_out = GroupNorm(self.norm_groups, width, self.norm_eps)
        self.conv_out = nn.Conv2d(width, self.out_channels, 3, padding=1)

    def _attention(self, width: int, level: int, num_heads: int) -> nn.Module | None:
        if 2**level not in self.attention_at:
            return None
        return self._attend(width, num_heads, self.norm_groups)

    def _mid_attention(self, width: int) -> nn.Module:
        groups = self.norm_groups if self.mid_norm_groups is None else self.mid_norm_groups
        return self._attend(width, self.num_heads, groups)

    def _attend(self, width: int, num_heads: int, groups: int) -> nn.Module:
        heads = head_count(width, num_heads, self.head_channels)
        if self.context_dim is None:
            return AttentionBlock(width, heads, groups, self.norm_eps)
        return SpatialTransformer(width, heads, self.context_dim, self.transformer_depth, groups)

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """The raw output at noisy x.

        Args:
            x: (B, C, H, W), H and W multiples of ``downsampling``.
            t: (B,) the network's time, from 0, fractional allowed.
            condition: ``vector`` holds labels (B,) for the label table, or floats
                (B, ``embedding_dim``) that are added to the time's embedding; ``tokens`` (B, L,
                ``context_dim``) and ``mask`` serve cross-attention; ``image`` is concatenated to x.

        Returns:
            (B, ``out_channels``, H, W) in the precision the network computes in.

        Raises:
            ValueError: sizes, labels or parts of the condition that the network cannot take.
        """
        condition = condition if condition is not None else Condition()
        if condition.image is not None:
            x = torch.cat([x, condition.image.to(x.dtype)], dim=1)
        check_input(self, x, condition)
        dtype = self.conv_in.weight.dtype
        embedding = F.silu(self._embedding(t, condition.vector))
        tokens = None if condition.tokens is None else condition.tokens.to(dtype)

        h = self.conv_in(x.to(dtype))
        skips = [h]
        for stage in stages(self.down):
            for block, attention in stage.layers():
                h = self._run(block, attention, h, embedding, tokens, condition.mask)
                skips.append(h)
            if stage.resample is not None:
                h = self._run(stage.resample, None, h, embedding)
                skips.append(h)
        for block, attention in self.mid.layers():
            h = self._run(block, attention, h, embedding, tokens, condition.mask)
        for stage in stages(self.up):
            for block, attention in stage.layers():
                h = torch.cat([h, skips.pop()], dim=1)
                h = self._run(block, attention, h, embedding, tokens, condition.mask)
            if stage.resample is not None:
                h = self._run(stage.resample, None, h, embedding)
        return self.conv_out(activate(self.norm_out(h)))

    def _embedding(self, t: Tensor, vector: Tensor | None) -> Tensor:
        sinusoid = time_embedding(t, self.channels, self.sine_first, self.frequency_shift)
        embedding = self.time_embedding(sinusoid.to(self.conv_in.weight.dtype))
        if vector is None:
            return embedding
        if vector.is_floating_point():
            return embedding + vector.to(embedding.dtype)
        return embedding + self.label_embedding(vector).to(embedding.dtype)

    def _run(
        self,
        block: nn.Module,
        attention: nn.Module | None,
        h: Tensor,
        embedding: Tensor,
        tokens: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(
                block_attention, block, attention, h, embedding, tokens, mask, use_reentrant=False
            )
        return block_attention(block, attention, h, embedding, tokens, mask)
