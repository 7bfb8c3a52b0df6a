"""Latent diffusion's autoencoders: AutoencoderKL, VQModel and VQModelInterface."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.checkpoint.outline import outline
from zoo.convert import keys
from zoo.convert.arguments import factors, need, numbers, refuse, with_defaults
from zoo.first_stage import KLAutoencoder, VQAutoencoder

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
FIXED: dict[str, tuple[Any, ...]] = {"resamp_with_conv": (True,), "use_linear_attn": (False,)}
_FIXED = FIXED | {
    "attn_type": ("vanilla", "none"), "give_pre_end": (False,), "tanh_out": (False,),
}  # fmt: skip
_RULES = [  # ours to theirs, in this order
    (r"^time_embedding\.0", "temb.dense.0"),
    (r"^time_embedding\.2", "temb.dense.1"),
    (r"\bmid\.attentions\.0", "mid.attn_1"),
    (r"\bmid\.blocks\.0", "mid.block_1"),
    (r"\bmid\.blocks\.1", "mid.block_2"),
    (r"\.attentions\.", ".attn."),
    (r"\.blocks\.", ".block."),
    (r"\.attention\.out", ".proj_out"),
    (r"\.embedding\.", ".temb_proj."),
    (r"\.shortcut\.", ".nin_shortcut."),
    (r"\b(down\.\d+)\.resample\.", r"\1.downsample."),
    (r"\b(up\.\d+)\.resample\.", r"\1.upsample."),
    (r"^codebook", "quantize.embedding"),
]
SCALE = ("shift", "scale")  # of the latents: our buffers, in the reference's config or beside it


def autoencoder(params: Mapping[str, Any]) -> KLAutoencoder | VQAutoencoder:
    """Our autoencoder for the reference's parameters; with ``n_embed`` codes it is a VQ one.

    Raises:
        ValueError: a parameter is unknown or missing, or ours does not support its value.
    """
    if "ddconfig" not in params:  # the encoder's own arguments beside the autoencoder's
        own = {name: value for name, value in params.items() if name in _DDCONFIG}
        rest = {name: value for name, value in params.items() if name not in _DDCONFIG}
        params = {**rest, "ddconfig": own}
    what = "the autoencoder"
    arguments = with_defaults(params, _DEFAULTS, what, _UNREAD)
    refuse(arguments, {"remap": (None,)}, what)
    inner = with_defaults(arguments["ddconfig"], _DDCONFIG, "ddconfig")
    need(inner, [name for name, default in _DDCONFIG.items() if default is None], "ddconfig")
    refuse(inner, _FIXED, "ddconfig")
    _check(arguments, inner)
    mult = numbers(inner["ch_mult"])
    plain = inner["attn_type"] == "none"
    sides = () if plain else numbers(inner["attn_resolutions"])
    sizes: dict[str, Any] = {
        "image_channels": inner["in_channels"],
        "latent_channels": arguments["embed_dim"] or inner["z_channels"],
        "channels": inner["ch"],
        "channel_mult": mult,
        "num_res_blocks": inner["num_res_blocks"],
        "attention_at": factors(inner["resolution"], sides, len(mult)),
        "mid_attention": not plain,
        "z_channels": inner["z_channels"],
        "dropout": float(inner["dropout"]),
    }
    if arguments["n_embed"] is None:
        return KLAutoencoder(**sizes)
    return VQAutoencoder(**sizes, num_codes=arguments["n_embed"])


def _check(arguments: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
    if inner["out_ch"] != inner["in_channels"]:
        raise ValueError(
            f"ddconfig: out_ch={inner['out_ch']} beside in_channels={inner['in_channels']} has no "
            "counterpart here: an autoencoder reconstructs its input"
        )
    if bool(inner["double_z"]) != (arguments["n_embed"] is None):
        raise ValueError(
            f"ddconfig: double_z={inner['double_z']} with n_embed={arguments['n_embed']}: a KL "
            "autoencoder doubles z, a VQ autoencoder (n_embed codes) does not"
        )


def load_autoencoder(
    params: Mapping[str, Any], state: Mapping[str, Tensor], scale: Tensor | float = 1.0
) -> KLAutoencoder | VQAutoencoder:
    """An autoencoder with weights (the reference's keys, without prefix) and a scale factor."""
    module = outline(lambda: autoencoder(params), len(state))
    keys.fill(module, state, names(module), "compvis autoencoder", own=SCALE)
    module.set_scale(0.0, scale)
    return module


def names(module: nn.Module) -> keys.Table:
    """Our keys of an autoencoder, or of the DDPM port's U-Net, to the reference's.

    The reference counts ways up by resolution, 0 the finest; ours in the order they are run.
    """
    ours = [key for key in module.state_dict(keep_vars=True) if key not in SCALE]
    last = max(int(level) for key in ours for level in re.findall(r"\bup\.(\d+)", key))
    table: keys.Table = {}
    for key in ours:
        level = re.sub(r"\bup\.(\d+)", lambda m: f"up.{last - int(m[1])}", key)
        their = keys.rename(level, _RULES)
        parts = [their.replace(".attention.qkv.", f".{letter}.") for letter in "qkv"]
        table[key] = parts if ".attention.qkv." in their else [their]
    return table


def scale_of(params: Mapping[str, Any], state: Mapping[str, Tensor]) -> float:
    """The scale factor: the file's own buffer, else the config's, else 1."""
    if "scale_factor" in state:
        return float(torch.as_tensor(state["scale_factor"]).double())
    return float(params.get("scale_factor", 1.0))
