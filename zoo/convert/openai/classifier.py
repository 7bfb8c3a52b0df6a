"""The noisy classifiers of guided-diffusion (arXiv:2105.05233, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.checkpoint.outline import outline
from zoo.classifier import EncoderUNet
from zoo.convert import keys
from zoo.convert.arguments import choose, factors, numbers, with_defaults
from zoo.convert.keys import below
from zoo.convert.openai.options import (
    CLASSIFIER,
    DIFFUSION,
    NETWORK,
    NUM_CLASSES,
    SCRIPTS,
    WHAT,
    channel_mult,
    clock,
    schedule,
)
from zoo.convert.openai.unet import heads_first, layers
from zoo.models.noisy_classifier import NoisyClassifier

_POOLS = {
    "adaptive": {"norm": "0", "out": "3"},
    "attention": {"norm": "0", "qkv": "2.qkv_proj", "out": "2.c_proj"},
    "spatial": {"hidden": "0", "out": "2"},
    "spatial_v2": {"hidden": "0", "norm": "1", "out": "3"},
}
_POSITIONS = "out.2.positional_embedding"


def classifier_network(config: Mapping[str, Any]) -> EncoderUNet:
    """The network that ``script_util.create_classifier`` makes of its arguments."""
    arguments = _arguments(config)
    size = arguments["image_size"]
    mult = channel_mult("", size)
    sides = numbers(arguments["classifier_attention_resolutions"])
    return EncoderUNet(
        in_channels=3,
        num_classes=arguments["num_classes"] or NUM_CLASSES,
        image_size=size,
        channels=arguments["classifier_width"],
        channel_mult=mult,
        num_res_blocks=arguments["classifier_depth"],
        attention_at=factors(size, sides, len(mult)),
        head_channels=64,
        scale_shift_norm=bool(arguments["classifier_use_scale_shift_norm"]),
        resblock_updown=bool(arguments["classifier_resblock_updown"]),
        pool=arguments["classifier_pool"],
    )


def classifier(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> EncoderUNet:
    """The classifier's network with the weights of ``state_dict``."""
    pool = _pool(config)
    complete = _with_classes(state_dict, config)
    module = outline(lambda: classifier_network(complete), len(state_dict))
    names = keys.table(module, layers(module) | below("pool", "out", _POOLS[pool]))
    state = dict(state_dict)
    if pool == "attention":
        names["pool.positions"] = [_POSITIONS]
        if _POSITIONS in state:
            state[_POSITIONS] = state[_POSITIONS].T  # theirs has channels first
    return keys.fill(module, state, names, "guided-diffusion classifier", heads_first)


def from_openai_classifier(
    state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> NoisyClassifier:
    """A published classifier as the model that classifier guidance takes."""
    network = classifier(state_dict, config)
    arguments = _arguments(config)
    module = NoisyClassifier(
        network,
        schedule(arguments["noise_schedule"], arguments["diffusion_steps"]),
        image_shape=(3, network.image_size, network.image_size),
        clock=clock(arguments, {"resblock_updown": True}),  # guided-diffusion's default
    )
    return module.eval()


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    return with_defaults(config, CLASSIFIER | DIFFUSION, WHAT, SCRIPTS | NETWORK.keys())


def _with_classes(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with as many classes as the weights have logits."""
    last = f"out.{_POOLS[_pool(config)]['out']}.bias"
    return {**({"num_classes": len(state[last])} if last in state else {}), **config}


def _pool(config: Mapping[str, Any]) -> str:
    pool = config.get("classifier_pool", CLASSIFIER["classifier_pool"])
    choose(pool, _POOLS, "classifier_pool")
    return pool
