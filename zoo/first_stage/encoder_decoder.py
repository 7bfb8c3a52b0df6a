"""The two halves of LDM's autoencoders: convolutions, with attention at some resolutions."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from zoo.layers import Downsample, GroupNorm, ResBlock, Upsample, activate
from zoo.layers.attention import AttentionBlock
from zoo.layers.stage import Stage, stages

_EPS = 1e-6  # of every norm in LDM's autoencoders; its U-Nets have 1e-5


class AutoencoderSizes(NamedTuple):
    """Of both halves; see ``ConvAutoencoder``, except for the widths of the levels."""

    widths: list[int]
    num_res_blocks: int
    attention_at: tuple[int, ...]
    mid_attention: bool
    dropout: float
    norm_groups: int

    def block(self, width: int, out: int) -> ResBlock:
        """A residual block."""
        groups = self.norm_groups
        return ResBlock(width, out, dropout=self.dropout, norm_groups=groups, norm_eps=_EPS)

    def attention(self, width: int, level: int) -> AttentionBlock | None:
        """The attention behind a block of this level, if any."""
        return self._attention(width, 2**level in self.attention_at)

    def middle(self) -> Stage:
        """The stage at the lowest resolution."""
        stage, width = Stage(), self.widths[-1]
        stage.append(self.block(width, width), self._attention(width, self.mid_attention))
        stage.append(self.block(width, width))
        return stage

    def _attention(self, width: int, present: bool) -> AttentionBlock | None:
        return AttentionBlock(width, 1, self.norm_groups, _EPS) if present else None


class Encoder(nn.Module):
    """Images (B, C, H, W) to (B, out_channels, h, w)."""

    def __init__(self, in_channels: int, out_channels: int, sizes: AutoencoderSizes) -> None:
        super().__init__()
        widths = sizes.widths
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        width = widths[0]
        for level, level_width in enumerate(widths):
            stage = Stage()
            for _ in range(sizes.num_res_blocks):
                stage.append(sizes.block(width, level_width), sizes.attention(level_width, level))
                width = level_width
            if level < len(widths) - 1:
                stage.resample = Downsample(width, asymmetric_padding=True)
            self.down.append(stage)
        self.mid = sizes.middle()
        self.norm_out = GroupNorm(sizes.norm_groups, width, _EPS)
        self.conv_out = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """From images to the moments of z."""
        h = self.conv_in(x)
        for stage in (*stages(self.down), self.mid):
            h = _through(stage, h)
        return self.conv_out(activate(self.norm_out(h)))


class Decoder(nn.Module):
    """(B, in_channels, h, w) to images (B, C, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, sizes: AutoencoderSizes) -> None:
        super().__init__()
        widths = sizes.widths
        width = widths[-1]
        self.conv_in = nn.Conv2d(in_channels, width, 3, padding=1)
        self.mid = sizes.middle()
        self.up = nn.ModuleList()
        for level in range(len(widths) - 1, -1, -1):
            stage = Stage()
            for _ in range(sizes.num_res_blocks + 1):
                block = sizes.block(width, widths[level])
                width = widths[level]
                stage.append(block, sizes.attention(width, level))
            if level > 0:
                stage.resample = Upsample(width)
            self.up.append(stage)
        self.norm_out = GroupNorm(sizes.norm_groups, width, _EPS)
        self.conv_out = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """From z to images."""
        h = self.conv_in(z)
        for stage in (self.mid, *stages(self.up)):
            h = _through(stage, h)
        return self.conv_out(activate(self.norm_out(h)))


def _through(stage: Stage, h: Tensor) -> Tensor:
    for block, attention in stage.layers():
        h = block(h) if attention is None else attention(block(h))
    return h if stage.resample is None else stage.resample(h)
