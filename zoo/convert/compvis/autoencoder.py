"""Latent diffusion's autoencoders: AutoencoderKL, VQModel and VQModelInterface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.convert import keys
from zoo.convert.arguments import complete, factors, need, numbers, refuse
from zoo.convert.keys import below
from zoo.first_stage import KLAutoencoder, VQAutoencoder
from zoo.layers.stage import Stage, stages

_DEFAULTS: dict[str, Any] = {"ddconfig": None, "embed_dim": None, "n_embed": None, "remap": None}
_UNREAD = {  # how it is trained
    "lossconfig", "monitor", "image_key", "ckpt_path", "ignore_keys", "colorize_nlabels",
    "batch_resize_range", "scheduler_config", "lr_g_factor", "sane_index_shape", "use_ema",
}  # fmt: skip
CONVOLUTIONAL: dict[str, Any] = {  # what autoencoders and the DDPM of that code share
    "ch": None,
    "out_ch": None,
    "ch_mult": (1, 2, 4, 8),
    "num_res_blocks": None,
    "attn_resolutions": None,
    "dropout": 0.0,
    "resamp_with_conv": True,
    "in_channels": None,
    "resolution": None,
    "use_linear_attn": False,
    "attn_type": "vanilla",
}
_DDCONFIG: dict[str, Any] = {
    **CONVOLUTIONAL,
    "z_channels": None,
    "double_z": True,
    "give_pre_end": False,
    "tanh_out": False,
}
_FIXED: dict[str, tuple[Any, ...]] = {
    "resamp_with_conv": (True,),
    "use_linear_attn": (False,),
    "attn_type": ("vanilla", "none"),
    "give_pre_end": (False,),
    "tanh_out": (False,),
}
RES_BLOCK = {
    "norm1": "norm1",
    "conv1": "conv1",
    "embedding": "temb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
    "shortcut": "nin_shortcut",
}
ATTENTION = {"norm": "norm", "attention.qkv": ["q", "k", "v"], "attention.out": "proj_out"}


def autoencoder(params: Mapping[str, Any]) -> KLAutoencoder | VQAutoencoder:
    """Our autoencoder for the reference's parameters; with ``n_embed`` codes it is a VQ one.

    Raises:
        ValueError: a parameter is unknown or missing, or ours cannot do what it asks for.
    """
    if "ddconfig" not in params:  # the encoder's own arguments beside the autoencoder's
        own = {name: value for name, value in params.items() if name in _DDCONFIG}
        rest = {name: value for name, value in params.items() if name not in _DDCONFIG}
        params = {**rest, "ddconfig": own}
    what = "the autoencoder"
    given = complete(params, _DEFAULTS, what, _UNREAD)
    refuse(given, {"remap": (None,)}, what)
    inner = complete(given["ddconfig"], _DDCONFIG, "ddconfig")
    need(inner, [name for name, default in _DDCONFIG.items() if default is None], "ddconfig")
    refuse(inner, _FIXED, "ddconfig")
    _check(given, inner)
    mult = numbers(inner["ch_mult"])
    plain = inner["attn_type"] == "none"
    sides = () if plain else numbers(inner["attn_resolutions"])
    sizes: dict[str, Any] = {
        "image_channels": inner["in_channels"],
        "latent_channels": given["embed_dim"] or inner["z_channels"],
        "channels": inner["ch"],
        "channel_mult": mult,
        "num_res_blocks": inner["num_res_blocks"],
        "attention_at": factors(inner["resolution"], sides, len(mult)),
        "mid_attention": not plain,
        "z_channels": inner["z_channels"],
        "dropout": float(inner["dropout"]),
    }
    if given["n_embed"] is None:
        return KLAutoencoder(**sizes)
    return VQAutoencoder(**sizes, num_codes=given["n_embed"])


def _check(given: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
    if inner["out_ch"] != inner["in_channels"]:
        raise ValueError(
            f"ddconfig: out_ch={inner['out_ch']} beside in_channels={inner['in_channels']} has no "
            "counterpart here: an autoencoder gives back what it takes"
        )
    if bool(inner["double_z"]) != (given["n_embed"] is None):
        raise ValueError(
            f"ddconfig: double_z={inner['double_z']} with n_embed={given['n_embed']}: a KL "
            "autoencoder doubles z, a VQ autoencoder (n_embed codes) does not"
        )


def load_autoencoder(
    params: Mapping[str, Any], state: Mapping[str, Tensor], scale: Tensor | float = 1.0
) -> KLAutoencoder | VQAutoencoder:
    """An autoencoder with weights (the reference's keys, without prefix) and a scale factor."""
    module, name = autoencoder(params), "compvis autoencoder"
    found = keys.translate(module, state, keys.table(module, layers(module)), name)
    module.set_scale(0.0, scale)
    own = module.state_dict()
    keys.load(module, {**found, "shift": own["shift"], "scale": own["scale"]}, name)
    return module


def layers(module: nn.Module) -> dict[str, Any]:
    """Our layers of an autoencoder to the reference's."""
    net: Any = module
    return {
        **half(net.encoder, "encoder."),
        **half(net.decoder, "decoder."),
        "quant_conv": "quant_conv",
        "post_quant_conv": "post_quant_conv",
        "codebook": "quantize.embedding",
    }


def half(module: nn.Module, prefix: str = "") -> dict[str, Any]:
    """Our layers to those of the reference's Encoder, Decoder or Model, below a prefix of both.

    The reference counts ways up by resolution, 0 the finest; ours in the order they are run.
    """
    net: Any = module
    found: dict[str, Any] = {
        f"{prefix}{name}": f"{prefix}{name}" for name in ("conv_in", "norm_out", "conv_out")
    }
    middle = f"{prefix}mid"
    found |= below(f"{middle}.blocks.0", f"{middle}.block_1", RES_BLOCK)
    found |= below(f"{middle}.attentions.0", f"{middle}.attn_1", ATTENTION)
    found |= below(f"{middle}.blocks.1", f"{middle}.block_2", RES_BLOCK)
    for level, stage in enumerate(stages(getattr(net, "down", nn.ModuleList()))):
        path = f"{prefix}down.{level}"
        found |= _stage(path, path, stage, "downsample")
    ups = getattr(net, "up", nn.ModuleList())
    for index, stage in enumerate(stages(ups)):
        theirs = f"{prefix}up.{len(ups) - 1 - index}"
        found |= _stage(f"{prefix}up.{index}", theirs, stage, "upsample")
    return found


def _stage(ours: str, theirs: str, stage: Stage, resample: str) -> dict[str, Any]:
    found: dict[str, Any] = {f"{ours}.resample.conv": f"{theirs}.{resample}.conv"}
    for place in range(len(stage.blocks)):
        found |= below(f"{ours}.blocks.{place}", f"{theirs}.block.{place}", RES_BLOCK)
        found |= below(f"{ours}.attentions.{place}", f"{theirs}.attn.{place}", ATTENTION)
    return found


def scale_of(params: Mapping[str, Any], state: Mapping[str, Tensor]) -> float:
    """The scale factor: the file's own buffer, else the config's, else 1."""
    if "scale_factor" in state:
        return float(torch.as_tensor(state["scale_factor"]).double())
    return float(params.get("scale_factor", 1.0))
