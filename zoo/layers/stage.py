"""The layers of a U-Net or an autoencoder at one resolution."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from torch import Tensor, nn


class Stage(nn.Module):
    """Residual blocks at one resolution, perhaps attention after each, perhaps a resampling."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.attentions = nn.ModuleList()  # as long as the blocks, or shorter
        self.resample: nn.Module | None = None

    def append(self, block: nn.Module, attention: nn.Module | None = None) -> None:
        """Adds a block, and the attention that follows it."""
        self.blocks.append(block)
        if attention is not None:
            self.attentions.append(attention)

    def layers(self) -> Iterator[tuple[nn.Module, nn.Module | None]]:
        """Each block with its attention, or None."""
        for index, block in enumerate(self.blocks):
            yield block, self.attentions[index] if index < len(self.attentions) else None


def stages(modules: nn.ModuleList) -> Iterable[Stage]:
    """The stages of a list of nothing else, for the type checker."""
    return cast("Iterable[Stage]", modules)


def block_attention(
    block: nn.Module,
    attention: nn.Module | None,
    h: Tensor,
    embedding: Tensor,
    tokens: Tensor | None,
    mask: Tensor | None,
) -> Tensor:
    """h (B, C, H, W) through a block, then through its attention, if it has one."""
    h = block(h, embedding)
    return h if attention is None else attention(h, tokens, mask)


def check_attention_at(attention_at: Sequence[int], num_levels: int) -> None:
    """Refuses attention at a downsampling factor that no level has.

    Raises:
        ValueError: names the factors there are.
    """
    possible = [2**level for level in range(num_levels)]
    if not set(attention_at) <= set(possible):
        raise ValueError(
            f"attention_at={list(attention_at)} names downsampling factors that a network of "
            f"{num_levels} levels does not have: possible are {possible}"
        )


def check_sides(height: int, width: int, downsampling: int) -> None:
    """Refuses images that cannot be halved often enough.

    Raises:
        ValueError: names the nearest sides that can.
    """
    if height % downsampling or width % downsampling or not (height and width):
        below, above = (
            "x".join(
                str(max(1, rounded(side / downsampling)) * downsampling) for side in (height, width)
            )
            for rounded in (math.floor, math.ceil)
        )
        raise ValueError(
            f"a network that downsamples by {downsampling} cannot take {height}x{width}: possible "
            f"are sides that are multiples of {downsampling}, such as {below} or {above}"
        )
