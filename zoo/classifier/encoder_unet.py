"""The U-Net's encoder as a classifier of noisy images."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.classifier.pool import AdaptivePool, AttentionPool, SpatialPool
from zoo.layers import Downsample, ResBlock, time_embedding, time_network
from zoo.layers.attention import AttentionBlock, head_count
from zoo.layers.stage import Stage, check_attention_at, check_sides, stages
from zoo.part import Part

_POOLS = ("adaptive", "attention", "spatial", "spatial_v2")


class EncoderUNet(Part, nn.Module):
    """Noisy images and their times to logits (ADM, arXiv:2105.05233, section 4 and appendix).

    The encoder and the middle of ``UNet``, with a pool in place of the decoder. The published
    classifiers are ``pool="attention"`` with the defaults here, in four sizes.

    Args:
        in_channels: channels of x.
        num_classes: K.
        image_size: side of the square images; of latents where those are classified.
        channels: the base width; the time embedding is four times as wide.
        channel_mult: width of each level in units of ``channels``; one level more halves once more.
        num_res_blocks: residual blocks per level.
        attention_at: downsampling factors with attention, 1 being full resolution; the middle
            always has it.
        num_heads: attention heads, where ``head_channels`` is None.
        head_channels: width of one head; there are as many as fit.
        dropout: in every residual block.
        scale_shift_norm: the embedding scales and shifts a norm, or is added.
        resblock_updown: downsample within residual blocks, or by single convolutions.
        pool: adaptive (the mean pixel), attention (the mean pixel attends to all), spatial and
            spatial_v2 (the means of all layers, v2 with a norm).
        norm_groups: groups of every group norm.
        norm_eps: of the group norms.

    Attributes:
        downsampling: ``image_size`` must be a multiple of it.

    Raises:
        ValueError: sizes that do not fit each other, or an unknown pool.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: int,
        channels: int = 128,
        channel_mult: Sequence[float] = (1, 2, 3, 4),
        num_res_blocks: int = 4,
        attention_at: Sequence[int] = (2, 4, 8),
        num_heads: int = 1,
        head_channels: int | None = 64,
        dropout: float = 0.0,
        scale_shift_norm: bool = True,
        resblock_updown: bool = True,
        pool: str = "attention",
        norm_groups: int = 32,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, image_size
        self.channels, self.channel_mult = channels, tuple(channel_mult)
        self.num_res_blocks, self.attention_at = num_res_blocks, tuple(attention_at)
        self.num_heads, self.head_channels, self.dropout = num_heads, head_channels, dropout
        self.scale_shift_norm, self.resblock_updown = scale_shift_norm, resblock_updown
        self.norm_groups, self.norm_eps = norm_groups, norm_eps

        self.downsampling = 2 ** (len(self.channel_mult) - 1)
        self.embedding_dim = 4 * channels
        if not self.channel_mult:
            raise ValueError("channel_mult is empty: a classifier needs at least one level")
        check_attention_at(self.attention_at, len(self.channel_mult))
        check_sides(image_size, image_size, self.downsampling)
        if pool not in _POOLS:
            raise ValueError(f"there is no pool '{pool}': possible are {', '.join(_POOLS)}")
        self._build(pool)
        for layer in self.modules():
            if isinstance(layer, ResBlock | AttentionBlock):
                layer.zero_output()

    def _build(self, pool: str) -> None:
        widths = [int(mult * self.channels) for mult in self.channel_mult]
        self.time_embedding = time_network(self.channels, self.embedding_dim)
        self.conv_in = nn.Conv2d(self.in_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        width, total = widths[0], widths[0]
        for level, level_width in enumerate(widths):
            stage = Stage()
            for _ in range(self.num_res_blocks):
                attention = self._attention(level_width) if 2**level in self.attention_at else None
                stage.append(self._block(width, level_width), attention)
                width = level_width
                total += width
            if level < len(widths) - 1:
                stage.resample = self._downsample(width)
                total += width
            self.down.append(stage)
        self.mid = Stage()
        self.mid.append(self._block(width, width), self._attention(width))
        self.mid.append(self._block(width, width))
        self.pool = self._pool(pool, width, total + width)

    def _block(self, width: int, out: int, down: bool = False) -> ResBlock:
        return ResBlock(
            width,
            out,
            self.embedding_dim,
            self.dropout,
            self.scale_shift_norm,
            down=down,
            norm_groups=self.norm_groups,
            norm_eps=self.norm_eps,
        )

    def _attention(self, width: int) -> AttentionBlock:
        return AttentionBlock(width, self._heads(width), self.norm_groups, self.norm_eps)

    def _heads(self, width: int) -> int:
        return head_count(width, self.num_heads, self.head_channels)

    def _downsample(self, width: int) -> nn.Module:
        return self._block(width, width, down=True) if self.resblock_updown else Downsample(width)

    def _pool(self, name: str, width: int, total: int) -> nn.Module:
        norm = (self.norm_groups, self.norm_eps)
        if name == "adaptive":
            return AdaptivePool(width, self.num_classes, *norm)
        if name == "attention":
            size = self.image_size // self.downsampling
            return AttentionPool(width, self.num_classes, size, self._heads(width), *norm)
        groups = self.norm_groups if name == "spatial_v2" else None
        return SpatialPool(total, self.num_classes, groups, self.norm_eps)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The logits at noisy x.

        Args:
            x: (B, C, ``image_size``, ``image_size``).
            t: (B,) the network's time, from 0, fractional allowed.

        Returns:
            (B, K) in the precision the network computes in.

        Raises:
            ValueError: x has another shape.
        """
        expected = (self.in_channels, self.image_size, self.image_size)
        if x.shape[1:] != expected:
            raise ValueError(f"the classifier takes {expected}, got {tuple(x.shape[1:])}")
        dtype = self.conv_in.weight.dtype
        sinusoid = time_embedding(t, self.channels).to(dtype)
        embedding = F.silu(self.time_embedding(sinusoid))
        h = self.conv_in(x.to(dtype))
        means: list[Tensor] = []
        self._note(h, means)
        for stage in [*stages(self.down), self.mid]:
            for block, attention in stage.layers():
                h = block(h, embedding)
                h = h if attention is None else attention(h)
                if stage is not self.mid:
                    self._note(h, means)
            if stage.resample is not None:
                h = stage.resample(h, embedding)
                self._note(h, means)
        self._note(h, means)
        return self.pool(h, means)

    def _note(self, h: Tensor, means: list[Tensor]) -> None:
        if self.pool.needs_means:
            means.append(h.mean((2, 3)))
