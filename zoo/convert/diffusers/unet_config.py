"""Our UNet's config as that of diffusers' UNet2DModel or UNet2DConditionModel."""

from __future__ import annotations

from typing import Any

from zoo.convert.diffusers.unet import NAMES
from zoo.denoiser import UNet


def unet_config(unet: UNet, sample_size: list[int]) -> dict[str, Any]:
    """The config with which diffusers builds the same network.

    Args:
        unet: ours.
        sample_size: height and width of what is diffused.

    Raises:
        ValueError: a fact that diffusers' U-Nets do not have.
    """
    text = unet.context_dim is not None
    widths = [int(mult * unet.channels) for mult in unet.channel_mult]
    if widths[0] != unet.channels:
        raise ValueError(
            f"diffusers' U-Nets embed time as widely as the first level ({widths[0]}), "
            f"this one has channels={unet.channels}"
        )
    if text and unet.mid_norm_groups not in (None, unet.norm_groups):
        raise ValueError("UNet2DConditionModel has no mid_norm_groups of their own")
    if text and (unet.resblock_updown or not unet.mid_attention):
        what = "resblock_updown=True" if unet.resblock_updown else "mid_attention=False"
        raise ValueError(f"UNet2DConditionModel has no {what} beside cross-attention")
    if unet.num_heads_up not in (None, unet.num_heads) and unet.head_channels is None:
        raise ValueError(
            f"diffusers' U-Nets have as many heads up as down ({unet.num_heads}), this one has "
            f"num_heads_up={unet.num_heads_up}"
        )
    height, width = sample_size
    shift = unet.frequency_shift
    config: dict[str, Any] = {
        "_class_name": "UNet2DConditionModel" if text else "UNet2DModel",
        "sample_size": height if height == width else [height, width],
        **{theirs: getattr(unet, ours) for ours, theirs in NAMES.items()},
        "block_out_channels": widths,
        "downsample_padding": 0 if unet.asymmetric_padding else 1,
        "resnet_time_scale_shift": "scale_shift" if unet.scale_shift_norm else "default",
        "flip_sin_to_cos": not unet.sine_first,
        "freq_shift": int(shift) if float(shift).is_integer() else shift,
        "act_fn": "silu",
    }
    attention = [2**level in unet.attention_at for level in range(len(widths))]
    config |= _block_types(attention, "CrossAttn" if text else "Attn", unet.resblock_updown)
    if text:
        return config | _text_options(unet, widths)
    return config | {
        "attention_head_dim": _head_dim(unet, widths, attention),
        "attn_norm_num_groups": _mid_norm(unet),
        "add_attention": unet.mid_attention,
    }


def _mid_norm(unet: UNet) -> int | None:
    """``attn_norm_num_groups``, whose absence means no norm beside a scaled and shifted one."""
    groups = unet.norm_groups if unet.mid_norm_groups is None else unet.mid_norm_groups
    if groups == 0 and unet.mid_attention and not unet.scale_shift_norm:
        raise ValueError(
            "diffusers leaves out the norm of the middle's attention (mid_norm_groups=0) only "
            "beside scale_shift_norm=True"
        )
    return groups or None


def _block_types(attends: list[bool], attention: str, resnet: bool) -> dict[str, Any]:
    names = ("ResnetDownsample", "ResnetUpsample") if resnet else ("Down", "Up")
    plain = [f"{name}Block2D" for name in names]
    config: dict[str, Any] = {
        "down_block_types": [f"{attention}DownBlock2D" if a else plain[0] for a in attends],
        "up_block_types": [f"{attention}UpBlock2D" if a else plain[1] for a in attends[::-1]],
    }
    if attention == "Attn":
        kind = "resnet" if resnet else "conv"
        config |= {"downsample_type": kind, "upsample_type": kind}
    return config


def _text_options(unet: UNet, widths: list[int]) -> dict[str, Any]:
    heads: Any = unet.num_heads
    if unet.head_channels is not None:
        heads = [max(1, width // unet.head_channels) for width in widths]
    return {
        "attention_head_dim": heads,
        "cross_attention_dim": unet.context_dim,
        "transformer_layers_per_block": unet.transformer_depth,
        "use_linear_projection": False,
    }


def _head_dim(unet: UNet, widths: list[int], attention: list[bool]) -> int | None:
    if unet.head_channels is not None:
        return unet.head_channels
    if unet.num_heads == 1:
        return None  # one head as wide as its level
    head_widths = {width for width, attends in zip(widths, attention, strict=True) if attends}
    head_widths |= {widths[-1]} if unet.mid_attention else set()
    if len(head_widths) > 1:
        raise ValueError(
            f"UNet2DModel's heads are equally wide at all levels, this U-Net has num_heads="
            f"{unet.num_heads} at widths {sorted(head_widths)}"
        )
    return head_widths.pop() // unet.num_heads if head_widths else None
