"""Diffusers' names of our weights, and weights translated either way."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zoo.convert.keys import Table, rename, translate
from zoo.layers.attention import AttentionBlock, SpatialTransformer

_RULES = [  # ours to theirs, in this order
    (r"^time_embedding\.0", "time_embedding.linear_1"),
    (r"^time_embedding\.2", "time_embedding.linear_2"),
    (r"^label_embedding", "class_embedding"),
    (r"^codebook", "quantize.embedding"),
    (r"\bnorm_out", "conv_norm_out"),
    (r"\bdown\.(\d+)\.resample", r"down_blocks.\1.downsamplers.0"),
    (r"\bup\.(\d+)\.resample", r"up_blocks.\1.upsamplers.0"),
    (r"\b(down|up)\.", r"\1_blocks."),
    (r"\bmid\.", "mid_block."),
    (r"(attentions\.\d+)\.blocks\.", r"\1.transformer_blocks."),
    (r"\.blocks\.", ".resnets."),
    (r"\.embedding\.(?=weight|bias)(?<!quantize\.embedding\.)", ".time_emb_proj."),
    (r"\.shortcut\.", ".conv_shortcut."),
    (r"\.attention\.", "."),
    (r"\.attention([12])\.", r".attn\1."),
    (r"\.out\.", ".to_out.0."),
    (r"feed_forward_in", "ff.net.0.proj"),
    (r"feed_forward_out", "ff.net.2"),
]
_OLD = [  # names of attention layers before diffusers 0.15
    (r"(attentions\.\d+)\.query\.", r"\1.to_q."),
    (r"(attentions\.\d+)\.key\.", r"\1.to_k."),
    (r"(attentions\.\d+)\.value\.", r"\1.to_v."),
    (r"(attentions\.\d+)\.proj_attn\.", r"\1.to_out.0."),
]
_NOT_WEIGHTS = ("shift", "scale")  # an autoencoder's; diffusers has them in its config


def key_table(network: nn.Module) -> Table:
    """Our names to diffusers' names; where theirs are several, ours joins them by rows.

    Args:
        network: a UNet, KLAutoencoder or VQAutoencoder.
    """
    return {
        name: _their_names(network, name)
        for name in network.state_dict(keep_vars=True)
        if name not in _NOT_WEIGHTS
    }


def _their_names(network: nn.Module, name: str) -> list[str]:
    owner = name.rsplit(".", 2)[0]
    if name.startswith(f"{owner}.norm.") and isinstance(
        network.get_submodule(owner), AttentionBlock
    ):
        name = name.replace(".norm.", ".group_norm.")
    name = rename(name, _RULES)
    layer = name.split(".")[-2]
    if layer not in ("q", "kv", "qkv"):
        return [name]
    return [name.replace(f".{layer}.", f".to_{letter}.") for letter in layer]


def our_weights(network: nn.Module, theirs: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Diffusers' weights under our names and in our shapes, as ``network`` has them.

    Args:
        network: for its names and shapes; may lie on the meta device.
        theirs: diffusers' state dict, also with the attention's old names.
        what: the file, for the message.

    Raises:
        ValueError: weights are missing, surplus or of a wrong shape; named as diffusers names them.
    """
    current = {rename(key, _OLD): tensor for key, tensor in theirs.items()}
    return translate(network, current, key_table(network), what)


def their_weights(network: nn.Module, linear_projection: bool = False) -> dict[str, Tensor]:
    """Our weights under diffusers' names and in diffusers' shapes, on the CPU.

    Args:
        network: a UNet, KLAutoencoder or VQAutoencoder.
        linear_projection: the projections around a transformer are linear layers, not 1x1
            convolutions (diffusers' ``use_linear_projection``).
    """
    state, theirs = network.state_dict(), {}
    for our, names in key_table(network).items():
        tensor = state[our].detach().cpu()
        if not linear_projection and _is_projection(network, our):
            tensor = tensor[:, :, None, None]
        for their, part in zip(names, tensor.chunk(len(names)), strict=True):
            theirs[their] = part.clone(memory_format=torch.contiguous_format)
    return theirs


def _is_projection(network: nn.Module, name: str) -> bool:
    owner, _, layer = name.rpartition(".proj_")
    return layer in ("in.weight", "out.weight") and isinstance(
        network.get_submodule(owner), SpatialTransformer
    )
