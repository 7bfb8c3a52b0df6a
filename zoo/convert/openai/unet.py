"""OpenAI's U-Net, which latent diffusion took over: its arguments and its names for layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.checkpoint.arguments import check_arguments
from zoo.convert import keys
from zoo.convert.arguments import need, numbers, refuse, with_defaults
from zoo.convert.keys import below
from zoo.denoiser import UNet
from zoo.layers import ResBlock
from zoo.layers.attention import AttentionBlock, SpatialTransformer
from zoo.layers.stage import Stage, stages

DEFAULTS: dict[str, Any] = {  # of UNetModel, in guided-diffusion and in latent-diffusion
    "image_size": None,
    "in_channels": None,
    "model_channels": None,
    "out_channels": None,
    "num_res_blocks": None,
    "attention_resolutions": None,
    "dropout": 0.0,
    "channel_mult": (1, 2, 4, 8),
    "conv_resample": True,
    "dims": 2,
    "num_classes": None,
    "use_checkpoint": False,
    "num_heads": 1,
    "num_head_channels": -1,
    "num_heads_upsample": -1,
    "use_scale_shift_norm": False,
    "resblock_updown": False,
    "use_new_attention_order": False,
    "use_spatial_transformer": False,
    "transformer_depth": 1,
    "context_dim": None,
    "n_embed": None,
}
_UNREAD = ("use_fp16", "legacy", "use_bf16")  # how it runs; legacy says heads as we have them
_FIXED: dict[str, tuple[Any, ...]] = {"conv_resample": (True,), "dims": (2,), "n_embed": (None,)}

_RES_BLOCK = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "embedding": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "shortcut": "skip_connection",
}
_ATTENTION = {"norm": "norm", "attention.qkv": "qkv", "attention.out": "proj_out"}
_TRANSFORMER = {"norm": "norm", "proj_in": "proj_in", "proj_out": "proj_out"}
_TRANSFORMER_BLOCK = {
    "norm1": "norm1",
    "attention1.qkv": ["attn1.to_q", "attn1.to_k", "attn1.to_v"],
    "attention1.out": "attn1.to_out.0",
    "norm2": "norm2",
    "attention2.q": "attn2.to_q",
    "attention2.kv": ["attn2.to_k", "attn2.to_v"],
    "attention2.out": "attn2.to_out.0",
    "norm3": "norm3",
    "feed_forward_in": "ff.net.0.proj",
    "feed_forward_out": "ff.net.2",
}


def unet(config: Mapping[str, Any]) -> UNet:
    """Our U-Net for the arguments of a UNetModel; ``attention_resolutions`` are factors there.

    Raises:
        ValueError: an argument is unknown or missing, or our U-Net does not support its value.
    """
    what = "UNetModel"
    arguments = with_defaults(config, DEFAULTS, what, _UNREAD)
    sizes = ("in_channels", "model_channels", "out_channels", "num_res_blocks")
    need(arguments, (*sizes, "attention_resolutions"), what)
    refuse(arguments, _FIXED, what)
    mult = numbers(arguments["channel_mult"], float)
    levels = {2**level for level in range(len(mult))}
    own: dict[str, Any] = dict(
        in_channels=arguments["in_channels"],
        out_channels=arguments["out_channels"],
        channels=arguments["model_channels"],
        channel_mult=[int(m) if m == int(m) else m for m in mult],
        num_res_blocks=arguments["num_res_blocks"],
        attention_at=sorted(set(numbers(arguments["attention_resolutions"])) & levels),
        **_heads(arguments, what),
        dropout=float(arguments["dropout"]),
        num_classes=arguments["num_classes"],
        context_dim=_context(arguments, what),
        transformer_depth=arguments["transformer_depth"],
        scale_shift_norm=bool(arguments["use_scale_shift_norm"]),
        resblock_updown=bool(arguments["resblock_updown"]),
        gradient_checkpointing=bool(arguments["use_checkpoint"]),
    )
    check_arguments(UNet, own)
    return UNet(**own)


def _heads(arguments: Mapping[str, Any], what: str) -> dict[str, Any]:
    width = arguments["num_head_channels"]
    if width not in (None, -1):
        return {"head_channels": width}
    if arguments["num_heads"] in (None, -1):
        raise ValueError(f"{what} needs num_heads or num_head_channels")
    heads = {"num_heads": arguments["num_heads"]}
    above = arguments["num_heads_upsample"]
    return heads if above in (None, -1, *heads.values()) else heads | {"num_heads_up": above}


def _context(arguments: Mapping[str, Any], what: str) -> int | None:
    width = arguments["context_dim"]
    if isinstance(width, list | tuple) and len(width) == 1:
        width = width[0]
    if bool(arguments["use_spatial_transformer"]) != (width is not None) or isinstance(width, list):
        raise ValueError(
            f"{what}: use_spatial_transformer={arguments['use_spatial_transformer']} with "
            f"context_dim={width}: a spatial transformer needs one width of its context, and "
            "nothing else has one"
        )
    return width


def layers(network: nn.Module) -> dict[str, Any]:
    """Our layers to OpenAI's, for a U-Net or for the encoder of one (a classifier's)."""
    net: Any = network
    table: dict[str, Any] = {
        "time_embedding.0": "time_embed.0",
        "time_embedding.2": "time_embed.2",
        "label_embedding": "label_emb",
        "conv_in": "input_blocks.0.0",
        "norm_out": "out.0",
        "conv_out": "out.2",
    }
    index = 1
    for level, stage in enumerate(stages(net.down)):
        for place, parts in enumerate(_parts(stage)):
            table |= _pair(f"down.{level}", place, f"input_blocks.{index}", parts)
            index += 1
        if stage.resample is not None:
            table |= _resample(f"down.{level}.resample", f"input_blocks.{index}.0", stage, "op")
            index += 1
    table |= below("mid.blocks.0", "middle_block.0", _RES_BLOCK)
    table |= _attention("mid.attentions.0", "middle_block.1", net.mid.attentions[0])
    table |= below("mid.blocks.1", "middle_block.2", _RES_BLOCK)
    index = 0
    for level, stage in enumerate(stages(getattr(net, "up", nn.ModuleList()))):
        for place, parts in enumerate(_parts(stage)):
            theirs = f"output_blocks.{index}"
            table |= _pair(f"up.{level}", place, theirs, parts)
            if stage.resample is not None and place == len(stage.blocks) - 1:
                number = 1 if parts is None else 2  # behind the attention, if there is one
                theirs = f"{theirs}.{number}"
                table |= _resample(f"up.{level}.resample", theirs, stage, "conv")
            index += 1
    return table


def _parts(stage: Stage) -> Iterator[nn.Module | None]:
    yield from (attention for _, attention in stage.layers())


def _pair(ours: str, place: int, theirs: str, attention: nn.Module | None) -> dict[str, Any]:
    table = below(f"{ours}.blocks.{place}", f"{theirs}.0", _RES_BLOCK)
    if attention is not None:
        table |= _attention(f"{ours}.attentions.{place}", f"{theirs}.1", attention)
    return table


def _attention(ours: str, theirs: str, attention: nn.Module) -> dict[str, Any]:
    if not isinstance(attention, SpatialTransformer):
        return below(ours, theirs, _ATTENTION)
    table = below(ours, theirs, _TRANSFORMER)
    for depth in range(len(attention.blocks)):
        block = f"{theirs}.transformer_blocks.{depth}"
        table |= below(f"{ours}.blocks.{depth}", block, _TRANSFORMER_BLOCK)
    return table


def _resample(ours: str, theirs: str, stage: Stage, convolution: str) -> dict[str, Any]:
    if isinstance(stage.resample, ResBlock):
        return below(ours, theirs, _RES_BLOCK)
    return {f"{ours}.conv": f"{theirs}.{convolution}"}


def load_unet(
    module: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any], name: str
) -> None:
    """Puts OpenAI's weights into a U-Net for these arguments of theirs."""
    arrange = None if config.get("use_new_attention_order") else heads_first
    keys.fill(module, state, keys.table(module, layers(module)), name, arrange)


def heads_first(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undoes the order of rows of improved-diffusion's and guided-diffusion's legacy attention.

    There a ``qkv`` has the rows of head 0's q, k and v, then those of head 1; ours has all heads'
    q, all heads' k, all heads' v, as has guided-diffusion's ``use_new_attention_order``.
    """
    ordered = dict(state)
    for name, block in network.named_modules():
        if isinstance(block, AttentionBlock):
            heads = block.attention.num_heads
            for kind in ("weight", "bias"):
                key = f"{name}.attention.qkv.{kind}"
                rows = ordered[key].unflatten(0, (heads, 3, -1))
                ordered[key] = torch.flatten(rows.transpose(0, 1), 0, 2)
    return ordered
