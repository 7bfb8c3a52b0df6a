"""Outputs of improved-diffusion's and guided-diffusion's networks, for the tests to compare with.

    ZOO_REFERENCES=/path/with/checkouts python benchmarks/golden_openai.py

The path holds openai+improved-diffusion and openai+guided-diffusion.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from _golden import TIMES, Writer, time_embedding

REFERENCES = Path(os.environ.get("ZOO_REFERENCES", "."))
IMAGE = {"x": [2, 3, 16, 16]}
LABELS = [3, 998]
IMPROVED = {
    "improved_learned_sigma_4_heads": dict(
        image_size=32, num_channels=32, num_res_blocks=1, learn_sigma=True, diffusion_steps=4000,
        noise_schedule="cosine",
    ),
    "improved_class_added_embedding": dict(
        image_size=32, num_channels=32, num_res_blocks=2, num_heads=1, attention_resolutions="16",
        class_cond=True, use_scale_shift_norm=False, predict_xstart=True,
    ),
    "improved_upsampler": dict(
        large_size=64, small_size=16, num_channels=32, num_res_blocks=1, learn_sigma=True,
        class_cond=True, num_heads=2, attention_resolutions="16",
    ),
}  # fmt: skip
GUIDED = {
    "guided_adm": dict(
        image_size=16, channel_mult="1,2,2", num_channels=32, num_res_blocks=1,
        num_head_channels=16, resblock_updown=True, learn_sigma=True, class_cond=True,
        attention_resolutions="8,4",
    ),
    "guided_new_order_head_channels": dict(
        image_size=16, channel_mult="1,2", num_channels=32, num_res_blocks=2,
        num_head_channels=16, resblock_updown=True, learn_sigma=True, use_new_attention_order=True,
        attention_resolutions="16,8", noise_schedule="cosine",
    ),
    "guided_new_order_heads": dict(
        image_size=16, channel_mult="1,2", num_channels=32, num_res_blocks=1, num_heads=4,
        use_new_attention_order=True, attention_resolutions="8", use_scale_shift_norm=False,
    ),
    "guided_legacy_order_heads": dict(
        image_size=16, channel_mult="1,2", num_channels=32, num_res_blocks=1, num_heads=4,
        attention_resolutions="8", learn_sigma=True,
    ),
    "guided_half_stem": dict(
        image_size=16, channel_mult="0.5,1,1", num_channels=64, num_res_blocks=1,
        num_head_channels=32, resblock_updown=True, learn_sigma=True, class_cond=True,
        attention_resolutions="4",
    ),
    "guided_classifier": dict(
        image_size=64, classifier_width=64, classifier_depth=1,
        classifier_attention_resolutions="32,16,8",
    ),
}  # fmt: skip


def built(repository: str, config: dict[str, Any]) -> nn.Module:
    """A network as the repository's own script_util builds it."""
    scripts = importlib.import_module(f"{repository}.script_util")
    if "classifier_width" in config:
        flags = {**scripts.classifier_defaults(), **config}
        return scripts.create_classifier(**flags)
    if "large_size" in config:
        flags, make = scripts.sr_model_and_diffusion_defaults(), scripts.sr_create_model
    else:
        flags, make = scripts.model_and_diffusion_defaults(), scripts.create_model
    flags |= config
    if "0.5" in flags.get("channel_mult", ""):  # create_model reads whole numbers only
        flags["channel_mult"] = flags["channel_mult"].replace("0.5", "1")
        holder, unet = importlib.import_module(f"{repository}.script_util"), scripts.UNetModel
        mult = tuple(float(word) for word in config["channel_mult"].split(","))
        holder.UNetModel = lambda **kwargs: unet(**{**kwargs, "channel_mult": mult})
    taken = inspect.signature(make).parameters
    made = make(**{name: value for name, value in flags.items() if name in taken})
    if "0.5" in config.get("channel_mult", ""):
        holder.UNetModel = unet
    return made


def run(network: nn.Module, given: dict[str, Tensor]) -> Tensor:
    x = given["x"]
    more: dict[str, Any] = {}
    if getattr(network, "num_classes", None):
        more["y"] = torch.tensor(LABELS)
    if "low_res" in given:
        more["low_res"] = given["low_res"]
    return network(x, torch.tensor(TIMES, dtype=x.dtype), **more)


def main() -> None:
    writer = Writer()
    for folder, package, cases in (
        ("openai+improved-diffusion", "improved_diffusion", IMPROVED),
        ("openai+guided-diffusion", "guided_diffusion", GUIDED),
    ):
        sys.path.insert(0, str(REFERENCES / folder))
        unet = importlib.import_module(f"{package}.unet")
        patches = ((unet, "timestep_embedding", time_embedding),)
        for name, config in cases.items():
            theirs = built(package, config)
            given = {"inputs": dict(IMAGE)}
            if "large_size" in config:
                given["inputs"]["low_res"] = [2, 3, 4, 4]
            if "classifier_width" in config:
                given["inputs"]["x"] = [2, 3, 64, 64]
            if getattr(theirs, "num_classes", None):
                given["labels"] = LABELS
            whole = {"arguments": config, **given}
            writer.add(name, whole, theirs, run, patches, 8 if "classifier_width" in config else 2)
    writer.write("openai")


if __name__ == "__main__":
    main()
