"""Diffusers' configs of UNet2DModel and UNet2DConditionModel as our UNet's arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zoo.convert.diffusers.options import Options, multipliers

PIXEL_DEFAULTS = {
    "in_channels": 3,
    "out_channels": 3,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "down_block_types": ["DownBlock2D", *["AttnDownBlock2D"] * 3],
    "up_block_types": [*["AttnUpBlock2D"] * 3, "UpBlock2D"],
    "block_out_channels": [224, 448, 672, 896],
    "layers_per_block": 2,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
}
TEXT_DEFAULTS = PIXEL_DEFAULTS | {
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 1280,
    "transformer_layers_per_block": 1,
}
EMA_FACTS = (  # of diffusers' EMAModel, in the config of the averages that it saves
    "decay", "min_decay", "optimization_step", "update_after_step", "use_ema_warmup", "inv_gamma",
    "power",
)  # fmt: skip
NAMES = {  # ours to theirs, of options that mean the same
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "num_res_blocks": "layers_per_block",
    "dropout": "dropout",
    "num_classes": "num_class_embeds",
    "norm_groups": "norm_num_groups",
    "norm_eps": "norm_eps",
}
_PIXEL_FIXED: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1,),
    "act_fn": ("silu", "swish"),
    "class_embed_type": (None,),
}
_NONE = (  # options that must not be given
    "reverse_transformer_layers_per_block", "encoder_hid_dim", "encoder_hid_dim_type",
    "num_attention_heads", "addition_embed_type", "addition_time_embed_dim",
    "time_embedding_act_fn", "timestep_post_act", "time_cond_proj_dim",
    "projection_class_embeddings_input_dim", "cross_attention_norm",
)  # fmt: skip
_FALSE = (
    "only_cross_attention", "dual_cross_attention", "resnet_skip_time_act",
    "class_embeddings_concat",
)  # fmt: skip
_TEXT_FIXED: dict[str, tuple[Any, ...]] = {
    **_PIXEL_FIXED,
    **dict.fromkeys(_NONE, (None,)),
    **dict.fromkeys(_FALSE, (False,)),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "resnet_out_scale_factor": (1,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "attention_type": ("default",),
    "mid_block_only_cross_attention": (None, False),
}


def pixel_unet(config: Mapping[str, Any], what: str = "UNet2DModel") -> dict[str, Any]:
    """The arguments of our UNet for a UNet2DModel's config.

    Raises:
        ValueError: an option that our U-Net cannot reproduce; named with its value.
    """
    options = Options(config, what, PIXEL_DEFAULTS)
    for name, possible in _PIXEL_FIXED.items():
        options.must_be(name, *possible)
    options.ignore("sample_size", "num_train_timesteps", *EMA_FACTS)
    arguments = _common(options, "Attn", resample=True)
    head_dim = options.take("attention_head_dim")
    if head_dim is not None:
        arguments["head_channels"] = head_dim
    if not options.take("add_attention"):
        arguments["mid_attention"] = False
    norm = _mid_norm(options, arguments)
    if arguments.get("mid_attention", True):
        arguments |= norm
    options.finish()
    return arguments


def text_unet(config: Mapping[str, Any], what: str = "UNet2DConditionModel") -> dict[str, Any]:
    """The arguments of our UNet for a UNet2DConditionModel's config.

    Its ``attention_head_dim`` is the number of heads, one for all levels or a list.

    Raises:
        ValueError: an option that our U-Net cannot reproduce; named with its value.
    """
    options = Options(config, what, TEXT_DEFAULTS)
    for name, possible in _TEXT_FIXED.items():
        options.must_be(name, *possible)
    options.ignore(
        "sample_size",
        *EMA_FACTS,
        "upcast_attention",  # precision only
        "use_linear_projection",  # a linear layer or a 1x1 convolution: the same product
        "addition_embed_type_num_heads",  # of an embedding that is refused above
    )
    arguments = _common(options, "CrossAttn", resample=False)
    arguments["context_dim"] = options.single("cross_attention_dim")
    depth = options.single("transformer_layers_per_block")
    if isinstance(depth, list):
        raise options.refusal("transformer_layers_per_block", "possible is one depth for all")
    if depth != 1:
        arguments["transformer_depth"] = depth
    arguments |= _heads(options, arguments)
    options.finish()
    return arguments


def diffused_sides(
    config: Mapping[str, Any], image_size: int | None, pipeline: str | None
) -> list[int]:
    """Height and width of what a U-Net diffuses; ``image_size`` goes before.

    Raises:
        ValueError: the config has no ``sample_size``.
    """
    if image_size is not None:
        return [image_size, image_size]
    size = config.get("sample_size")
    if size is None:
        raise ValueError("the U-Net's config has no sample_size: give image_size")
    sides = [size, size] if isinstance(size, int) else size
    if not isinstance(sides, list) or len(sides) != 2 or not all(type(s) is int for s in sides):
        raise ValueError(f"the U-Net's sample_size is a number or two, got {size!r}")
    if pipeline == "StableDiffusionPipeline" and _is_old(config) and sides[0] < 64:
        sides = [64, 64]  # as the pipeline corrects configs of that time
    return sides


def _is_old(config: Mapping[str, Any]) -> bool:
    numbers = re.findall(r"\d+", str(config.get("_diffusers_version", "")))[:2]
    return bool(numbers) and tuple(map(int, numbers)) < (0, 9)


def _common(options: Options, attention: str, resample: bool) -> dict[str, Any]:
    """The arguments that the two classes have in common."""
    widths = list(options.take("block_out_channels"))
    options.must_be("time_embedding_dim", None, 4 * widths[0])
    down, down_resnet = _kinds(options, "down", attention, len(widths), resample)
    up, up_resnet = _kinds(options, "up", attention, len(widths), resample)
    if down != up[::-1]:
        raise options.refusal("up_block_types", "attention must be at the levels where it is down")
    kinds = {*down_resnet[:-1], *up_resnet[:-1]}
    if len(kinds) > 1:
        types = [f"{n}={options.take(n)!r}" for n in ("downsample_type", "upsample_type")]
        raise options.refusal(
            "up_block_types",
            "all levels must resample alike, by convolutions or residual blocks "
            f"({', '.join(types)})",
        )
    padding = options.take("downsample_padding")
    if padding not in (0, 1):
        raise options.refusal("downsample_padding", "possible is 0 or 1")
    shift = options.take("resnet_time_scale_shift")
    if shift not in ("default", "scale_shift"):
        raise options.refusal("resnet_time_scale_shift", "possible is 'default' or 'scale_shift'")
    if options.take("norm_num_groups") is None:
        raise options.refusal("norm_num_groups", "possible is a number of groups")
    return {
        **{ours: options.single(theirs) for ours, theirs in NAMES.items()},
        "channels": widths[0],
        "channel_mult": multipliers(widths),
        "attention_at": [2**level for level, attends in enumerate(down) if attends],
        "scale_shift_norm": shift == "scale_shift",
        "resblock_updown": kinds == {True},
        "asymmetric_padding": padding == 0 and kinds != {True},
        "sine_first": not options.take("flip_sin_to_cos"),
        "frequency_shift": float(options.take("freq_shift")),
    }


def _kinds(
    options: Options, side: str, attention: str, levels: int, resample: bool
) -> tuple[list[bool], list[bool]]:
    """Per block: whether it has attention, and whether a residual block resamples."""
    name, title = f"{side}_block_types", side.capitalize()
    by_type = resample and options.take(f"{side}sample_type") == "resnet"
    kinds = {
        f"{title}Block2D": (False, False),
        f"{attention}{title}Block2D": (True, by_type),
        f"Resnet{title}sampleBlock2D": (False, True),
    }
    if resample and options.take(f"{side}sample_type") not in ("conv", "resnet", None):
        raise options.refusal(f"{side}sample_type", "possible is 'conv' or 'resnet'")
    blocks = [block.removeprefix("UNetRes") for block in options.take(name)]
    if any(block not in kinds for block in blocks) or len(blocks) != levels:
        raise options.refusal(name, f"possible are {levels} of {', '.join(kinds)}")
    return [kinds[block][0] for block in blocks], [kinds[block][1] for block in blocks]


def _mid_norm(options: Options, arguments: dict[str, Any]) -> dict[str, Any]:
    """The norm of the middle's attention; without that option a scaled and shifted one has none."""
    groups = options.take("attn_norm_num_groups")
    if groups is None:
        return {"mid_norm_groups": 0} if arguments["scale_shift_norm"] else {}
    if not isinstance(groups, int) or groups < 1:
        raise options.refusal("attn_norm_num_groups", "possible is a number of groups")
    return {} if groups == arguments["norm_groups"] else {"mid_norm_groups": groups}


def _heads(options: Options, arguments: dict[str, Any]) -> dict[str, Any]:
    heads = options.take("attention_head_dim")
    if not isinstance(heads, list) or len(set(heads)) == 1:
        return {"num_heads": heads[0] if isinstance(heads, list) else heads}
    widths = options.take("block_out_channels")
    if len(heads) != len(widths):
        raise options.refusal("attention_head_dim", f"possible is a number or {len(widths)}")
    attention = [2**level in arguments["attention_at"] for level in range(len(widths))]
    attention[-1] = True  # the middle has attention
    sizes = {w / h for w, h, attends in zip(widths, heads, attention, strict=True) if attends}
    size = sizes.pop()
    if sizes or not size.is_integer():
        raise options.refusal(
            "attention_head_dim", "heads must be equally many or equally wide at all levels"
        )
    return {"head_channels": int(size)}
