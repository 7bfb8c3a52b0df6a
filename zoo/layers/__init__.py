"""The layers of U-Nets and autoencoders."""

from zoo.layers.attention import Attention, AttentionBlock, SpatialTransformer, TransformerBlock
from zoo.layers.block import (
    Downsample,
    GroupNorm,
    ResBlock,
    Upsample,
    activate,
    add_to,
    time_embedding,
    time_network,
    zero,
)
from zoo.layers.stage import Stage, check_attention_at, check_sides, stages

__all__ = [
    "Attention", "AttentionBlock", "Downsample", "GroupNorm", "ResBlock", "SpatialTransformer",
    "Stage", "TransformerBlock", "Upsample", "activate", "add_to", "check_attention_at",
    "check_sides", "stages", "time_embedding", "time_network", "zero",
]  # fmt: skip
