"""The two halves of LDM's autoencoders: convolutions with attention where asked for."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers import Downsample, GroupNorm, ResBlock, Upsample
from zoo.layers.attention import AttentionBlock
from zoo.layers.stage import Stage, stages

_EPS = 1e-6  # of every norm in LDM's autoencoders; its U-Nets have 1e-5


class Encoder(nn.Module):
    """Images (B, C, H, W) to (B, out_channels, h, w)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: list[int],
        num_res_blocks: int,
        attention_at: tuple[int, ...],
        mid_attention: bool,
        dropout: float,
        norm_groups: int,
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        width = widths[0]
        for level, level_width in enumerate(widths):
            stage = Stage()
            for _ in range(num_res_blocks):
                block = _block(width, level_width, dropout, norm_groups)
                width = level_width
                stage.append(block, _attention(width, norm_groups, 2**level in attention_at))
            if level < len(widths) - 1:
                stage.resample = Downsample(width, asymmetric_padding=True)
            self.down.append(stage)
        self.mid = _middle(width, mid_attention, dropout, norm_groups)
        self.norm_out = GroupNorm(norm_groups, width, _EPS)
        self.conv_out = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """From images to the moments of z."""
        h = self.conv_in(x)
        for stage in (*stages(self.down), self.mid):
            h = _through(stage, h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Decoder(nn.Module):
    """(B, in_channels, h, w) to images (B, C, H, W)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: list[int],
        num_res_blocks: int,
        attention_at: tuple[int, ...],
        mid_attention: bool,
        dropout: float,
        norm_groups: int,
    ) -> None:
        super().__init__()
        width = widths[-1]
        self.conv_in = nn.Conv2d(in_channels, width, 3, padding=1)
        self.mid = _middle(width, mid_attention, dropout, norm_groups)
        self.up = nn.ModuleList()
        for level in range(len(widths) - 1, -1, -1):
            stage = Stage()
            for _ in range(num_res_blocks + 1):
                block = _block(width, widths[level], dropout, norm_groups)
                width = widths[level]
                stage.append(block, _attention(width, norm_groups, 2**level in attention_at))
            if level > 0:
                stage.resample = Upsample(width)
            self.up.append(stage)
        self.norm_out = GroupNorm(norm_groups, width, _EPS)
        self.conv_out = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """From z to images."""
        h = self.conv_in(z)
        for stage in (self.mid, *stages(self.up)):
            h = _through(stage, h)
        return self.conv_out(F.silu(self.norm_out(h)))


def _block(width: int, out: int, dropout: float, norm_groups: int) -> ResBlock:
    return ResBlock(width, out, dropout=dropout, norm_groups=norm_groups, norm_eps=_EPS)


def _attention(width: int, norm_groups: int, wanted: bool) -> AttentionBlock | None:
    return AttentionBlock(width, 1, norm_groups, _EPS) if wanted else None


def _middle(width: int, attention: bool, dropout: float, norm_groups: int) -> Stage:
    stage = Stage()
    block = _block(width, width, dropout, norm_groups)
    stage.append(block, _attention(width, norm_groups, attention))
    stage.append(_block(width, width, dropout, norm_groups))
    return stage


def _through(stage: Stage, h: Tensor) -> Tensor:
    for block, attention in stage.layers():
        h = block(h) if attention is None else attention(block(h))
    return h if stage.resample is None else stage.resample(h)
