"""Diffusers' autoencoder configs, AutoencoderKL and VQModel, as arguments of ours; and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.convert.diffusers.options import Options, multipliers
from zoo.first_stage import KLAutoencoder, VQAutoencoder

Autoencoder = KLAutoencoder | VQAutoencoder
SCALING = 0.18215  # what diffusers takes for both classes where a config has none
_DEFAULTS = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D"],
    "block_out_channels": [64],
    "layers_per_block": 1,
    "norm_num_groups": 32,
    "mid_block_add_attention": True,
    "scaling_factor": SCALING,
}
_KL_DEFAULTS = _DEFAULTS | {"latent_channels": 4}
_VQ_DEFAULTS = _DEFAULTS | {"latent_channels": 3, "num_vq_embeddings": 256}


def kl_autoencoder(config: Mapping[str, Any], what: str = "AutoencoderKL") -> dict[str, Any]:
    """The arguments of our KLAutoencoder for an AutoencoderKL's config.

    Raises:
        ValueError: an option that it cannot reproduce; named with its value.
    """
    options = Options(config, what, _KL_DEFAULTS)
    options.must_be("latents_mean", None)
    options.must_be("latents_std", None)
    options.ignore("force_upcast", "shift_factor", "use_quant_conv", "use_post_quant_conv")
    arguments = _common(options)
    arguments["latent_channels"] = options.take("latent_channels")
    options.finish()
    return arguments


def vq_autoencoder(config: Mapping[str, Any], what: str = "VQModel") -> dict[str, Any]:
    """The arguments of our VQAutoencoder for a VQModel's config.

    Raises:
        ValueError: an option that it cannot reproduce; named with its value.
    """
    options = Options(config, what, _VQ_DEFAULTS)
    options.must_be("norm_type", "group")
    options.must_be("lookup_from_codebook", False)
    options.ignore("force_upcast")
    arguments = _common(options)
    z, width = options.take("latent_channels"), options.take("vq_embed_dim")
    arguments["latent_channels"] = z if width is None else width
    if width not in (None, z):
        arguments["z_channels"] = z
    arguments["num_codes"] = options.take("num_vq_embeddings")
    options.finish()
    return arguments


def _common(options: Options) -> dict[str, Any]:
    options.must_be("act_fn", "silu", "swish")
    options.ignore("sample_size", "scaling_factor")
    widths = list(options.take("block_out_channels"))
    down = _attention(options, "down_block_types", "DownEncoderBlock2D", len(widths))
    up = _attention(options, "up_block_types", "UpDecoderBlock2D", len(widths))
    if up != down[::-1]:
        raise options.refusal("up_block_types", "attention must be at the levels where it is down")
    channels = options.take("in_channels")
    if options.take("out_channels") != channels:
        raise options.refusal("out_channels", f"images have in_channels={channels}")
    return {
        "image_channels": channels,
        "channels": widths[0],
        "channel_mult": multipliers(widths),
        "num_res_blocks": options.take("layers_per_block"),
        "attention_at": [2**level for level, attends in enumerate(down) if attends],
        "mid_attention": bool(options.take("mid_block_add_attention")),
        "norm_groups": options.take("norm_num_groups"),
    }


def _attention(options: Options, name: str, plain: str, levels: int) -> list[bool]:
    blocks = options.take(name)
    if len(blocks) != levels or any(block not in (plain, f"Attn{plain}") for block in blocks):
        raise options.refusal(name, f"possible are {levels} of {plain}, Attn{plain}")
    return [block.startswith("Attn") for block in blocks]


def with_quant_convs(
    theirs: dict[str, Tensor], config: Mapping[str, Any], latent_channels: int
) -> dict[str, Tensor]:
    """Weights with the identity in place of a 1x1 convolution that an AutoencoderKL lacks."""
    weights = dict(theirs)
    for name, width in (("quant_conv", 2 * latent_channels), ("post_quant_conv", latent_channels)):
        if config.get(f"use_{name}", True) is False:
            weights[f"{name}.weight"] = torch.eye(width)[:, :, None, None]
            weights[f"{name}.bias"] = torch.zeros(width)
    return weights


def set_scale(autoencoder: Autoencoder, config: Mapping[str, Any]) -> None:
    """Diffusers' scaling_factor and shift_factor: latents are (z - shift) * scale."""
    shift, scale = config.get("shift_factor"), config.get("scaling_factor", SCALING)
    autoencoder.set_scale(shift or 0.0, scale)


def autoencoder_config(autoencoder: Autoencoder, sample_size: list[int]) -> dict[str, Any]:
    """The config with which diffusers builds the same autoencoder.

    Raises:
        ValueError: its KL autoencoders have no ``z_channels`` of their own.
    """
    widths = [int(mult * autoencoder.channels) for mult in autoencoder.channel_mult]
    attends = [2**level in autoencoder.attention_at for level in range(len(widths))]
    z = autoencoder.z_channels or autoencoder.latent_channels
    height, width = sample_size
    config: dict[str, Any] = {
        "sample_size": height if height == width else [height, width],
        "in_channels": autoencoder.image_channels,
        "out_channels": autoencoder.image_channels,
        "down_block_types": [f"{'Attn' * a}DownEncoderBlock2D" for a in attends],
        "up_block_types": [f"{'Attn' * a}UpDecoderBlock2D" for a in attends[::-1]],
        "block_out_channels": widths,
        "layers_per_block": autoencoder.num_res_blocks,
        "latent_channels": z,
        "norm_num_groups": autoencoder.norm_groups,
        "mid_block_add_attention": autoencoder.mid_attention,
        "act_fn": "silu",
    }
    if isinstance(autoencoder, VQAutoencoder):
        own = {
            "_class_name": "VQModel",
            "num_vq_embeddings": autoencoder.num_codes,
            "vq_embed_dim": autoencoder.latent_channels,
        }
        return own | config
    if z != autoencoder.latent_channels:
        raise ValueError(
            f"AutoencoderKL has no z_channels beside latent_channels, this autoencoder has {z} "
            f"beside {autoencoder.latent_channels}"
        )
    return {"_class_name": "AutoencoderKL"} | config
