"""Diffusers' networks with every weight drawn anew, and ours made of them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers")

from zoo.convert import network
from zoo.convert.diffusers.keys import our_weights
from zoo.convert.keys import load_state


def draw_weights(theirs: nn.Module, seed: int = 0) -> nn.Module:
    """No weight stays at zero or one, and signals keep their size."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in theirs.parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.2
            base = 1.0 if parameter.ndim == 1 and bool((parameter == 1).all()) else 0.0
            parameter.copy_(base + scale * torch.randn(parameter.shape, generator=generator))
    return theirs.eval()


def ours_of(theirs: nn.Module) -> Any:
    """Our network of their config, with their weights."""
    config = {**theirs.config, "_class_name": type(theirs).__name__}
    ours = network("diffusers", config).to(next(theirs.parameters()).dtype)
    state = our_weights(ours, theirs.state_dict(), "weights")
    state |= {k: v for k, v in ours.state_dict().items() if k in ("shift", "scale")}
    return load_state(ours, state, "weights")


def noise(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers, the same in every precision."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.to(dtype)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference over the largest value."""
    assert theirs.std() > 0.01
    return float((ours - theirs).abs().max() / theirs.abs().max())


def in_float64(theirs: Any) -> Any:
    """Their U-Net in float64, its embedding of time too, which they compute in float32."""
    from zoo.layers import time_embedding

    projection = theirs.time_proj
    theirs.double()
    projection.forward = lambda t: time_embedding(
        t.double(),
        projection.num_channels,
        not projection.flip_sin_to_cos,
        projection.downscale_freq_shift,
    )
    return theirs


# Small configs, which between them use every option that we can read.

_PIXEL: dict[str, Any] = dict(
    sample_size=16,
    block_out_channels=(32, 64, 96),
    layers_per_block=2,
    norm_num_groups=8,
    attn_norm_num_groups=8,
    down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
)
_ADM = dict(
    attention_head_dim=32,
    resnet_time_scale_shift="scale_shift",
    down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"),
    up_block_types=("ResnetUpsampleBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    downsample_type="resnet",
    upsample_type="resnet",
)
PIXEL: dict[str, dict[str, Any]] = {
    "ddpm": _PIXEL
    | dict(
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        attention_head_dim=None,
    ),
    "improved_ddpm": _PIXEL
    | dict(
        out_channels=6,
        attention_head_dim=16,
        resnet_time_scale_shift="scale_shift",
        num_class_embeds=7,
    ),
    "adm": _PIXEL | _ADM,
    "middle_attention_without_norm": _PIXEL | _ADM | dict(attn_norm_num_groups=None),
    "middle_attention_of_other_groups": _PIXEL | dict(attn_norm_num_groups=4),
    "ldm": _PIXEL | dict(attention_head_dim=8, dropout=0.1, sample_size=(16, 8)),
    "without_middle_attention": _PIXEL | dict(add_attention=False, act_fn="swish"),
    "old_block_names": _PIXEL
    | dict(
        down_block_types=("UNetResDownBlock2D", "UNetResAttnDownBlock2D", "DownBlock2D"),
        attn_norm_num_groups=None,
        block_out_channels=(48, 80, 112),  # widths that are no multiples of the first
    ),
}
_TEXT: dict[str, Any] = dict(
    sample_size=8,
    block_out_channels=(32, 64),
    layers_per_block=1,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    attention_head_dim=4,
    cross_attention_dim=24,
    norm_num_groups=8,
)
TEXT: dict[str, dict[str, Any]] = {
    "stable_diffusion": _TEXT,
    "heads_of_one_width": _TEXT | dict(attention_head_dim=(2, 4), upcast_attention=True),
    "linear_projection": _TEXT | dict(use_linear_projection=True, num_class_embeds=5),
    "deep": _TEXT | dict(transformer_layers_per_block=2, layers_per_block=(2, 2)),
}
_AUTOENCODER: dict[str, Any] = dict(
    sample_size=16,
    down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
    up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
    block_out_channels=(32, 64),
    layers_per_block=2,
    norm_num_groups=8,
)
_ATTENTION = dict(
    down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
)
KL: dict[str, dict[str, Any]] = {
    "kl": _AUTOENCODER,
    "kl_attention": _AUTOENCODER | _ATTENTION,
    "kl_bare": _AUTOENCODER
    | dict(
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.3,
        scaling_factor=1.7,
        latent_channels=3,
    ),
}
VQ: dict[str, dict[str, Any]] = {
    "vq": _AUTOENCODER | dict(num_vq_embeddings=32),
    "vq_attention": _AUTOENCODER
    | _ATTENTION
    | dict(num_vq_embeddings=32, latent_channels=4, vq_embed_dim=3, scaling_factor=1.0),
}
