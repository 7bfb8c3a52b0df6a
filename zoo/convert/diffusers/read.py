"""Models saved by diffusers become models of the zoo; diffusers itself is not imported.

Whatever stands in a folder's configs is either reproduced or refused by its name: a model that
loads computes what diffusers computes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.conditioner import ClassLabel, Unconditional
from zoo.convert.diffusers.autoencoder import (
    Autoencoder,
    kl_autoencoder,
    set_scale,
    vq_autoencoder,
    with_quant_convs,
)
from zoo.convert.diffusers.fold import read_unfolded
from zoo.convert.diffusers.folder import read_conditioner, read_json, read_weights
from zoo.convert.diffusers.keys import our_weights
from zoo.convert.diffusers.scheduler import Scheduled, read_scheduler
from zoo.convert.diffusers.text import read_text_encoder
from zoo.convert.diffusers.unet import pixel_unet, text_unet
from zoo.convert.keys import load_state
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.objective import Hybrid, Simple
from zoo.diffusion.variance import LearnedVariance
from zoo.first_stage import Identity, KLAutoencoder, VQAutoencoder
from zoo.guidance import Bounded, ClassifierFree, Guidance, Unguided
from zoo.models.ddpm import DDPM
from zoo.models.guided_latent_diffusion import GuidedLatentDiffusion
from zoo.models.improved_ddpm import ImprovedDDPM
from zoo.models.latent_diffusion import LatentDiffusion
from zoo.module import DiffusionModule
from zoo.sampler import Sampler

_NETWORKS: dict[str, tuple[Callable[..., nn.Module], Callable[..., dict[str, Any]]]] = {
    "UNet2DModel": (UNet, pixel_unet),
    "UNet2DConditionModel": (UNet, text_unet),
    "AutoencoderKL": (KLAutoencoder, kl_autoencoder),
    "VQModel": (VQAutoencoder, vq_autoencoder),
}
_STEPS = {  # the pipelines' own num_inference_steps
    "DDPMPipeline": 1000,
    "DDIMPipeline": 50,
    "PNDMPipeline": 50,
    "LDMPipeline": 50,
    "StableDiffusionPipeline": 50,
}
_COMPONENTS = ("unet", "vae", "vqvae", "scheduler", "text_encoder", "tokenizer")
_AFTERWARDS = ("safety_checker", "feature_extractor")  # look at finished images only
_SCALE = 7.5  # StableDiffusionPipeline's guidance_scale


def network(config: Mapping[str, Any]) -> nn.Module:
    """The bare network of a component's ``config.json``, with random weights.

    Args:
        config: a dict with ``_class_name``; other options have diffusers' defaults.

    Raises:
        ValueError: the class is unknown, or an option cannot be reproduced.
    """
    name = config.get("_class_name")
    if name not in _NETWORKS:
        raise ValueError(
            f"diffusers' network {name!r} is not known (the config's _class_name): possible are "
            f"{', '.join(_NETWORKS)}"
        )
    kind, arguments = _NETWORKS[name]
    return kind(**arguments(config))


def from_diffusers(
    folder: str | Path,
    sampler: Sampler | None = None,
    num_steps: int | None = None,
    image_size: int | None = None,
) -> nn.Module:
    """Reads a local folder that diffusers' ``save_pretrained`` wrote.

    A pipeline (DDPM, DDIM, PNDM, LDM, Stable Diffusion 1.x) becomes a whole model; a U-Net for
    pixels alone a DDPM with a linear schedule; any other network alone is returned bare.

    Args:
        folder: with ``model_index.json``, or a component's own ``config.json``.
        sampler: the model's default walk; the scheduler's own when None.
        num_steps: of the scheduler's walk; the pipeline's default when None.
        image_size: in place of the size that follows from the U-Net's ``sample_size``.

    Raises:
        ValueError: something in the folder is missing, unknown or cannot be reproduced exactly; the
            message names the option and its value, or the weights.
    """
    folder = Path(folder)
    if (folder / "model_index.json").is_file():
        index = read_json(folder / "model_index.json")
    elif (folder / "unet" / "config.json").is_file():
        index = {"_class_name": None, **{part.name: part.name for part in folder.iterdir()}}
    elif (folder / "config.json").is_file():
        return _component(folder, sampler, num_steps, image_size)
    else:
        raise ValueError(
            f"{folder}: not a diffusers folder: there is neither model_index.json nor config.json"
        )
    return _pipeline(folder, index, sampler, num_steps, image_size)


def _pipeline(
    folder: Path,
    index: dict[str, Any],
    sampler: Sampler | None,
    num_steps: int | None,
    image_size: int | None,
) -> nn.Module:
    name = index["_class_name"]
    if name is not None and name not in _STEPS:
        pipelines = ", ".join(_STEPS)
        raise ValueError(f"{folder}: the pipeline {name} is not known: possible are {pipelines}")
    parts = [k for k, v in index.items() if v and not k.startswith("_") and v != [None, None]]
    surplus = {*parts} - {*_COMPONENTS, *_AFTERWARDS, "requires_safety_checker", "conditioner"}
    if surplus and name is not None:
        raise ValueError(f"{folder}: {name}'s {', '.join(sorted(surplus))} cannot be reproduced")

    unet_config = read_json(folder / "unet" / "config.json")
    unet = _network(folder / "unet", unet_config)
    first_stage: Any = Identity()
    for part in ("vae", "vqvae"):
        if part in parts:
            first_stage = _network(folder / part, read_json(folder / part / "config.json"))
    conditioner = _conditioner(folder, parts, unet)
    config = _scheduler_config(folder, name)
    scheduled = read_scheduler(config, num_steps or _STEPS.get(name, 50), sampler)
    size = _image_size(unet_config, first_stage, image_size, name)
    return _model(unet, first_stage, conditioner, scheduled, size)


def _component(
    folder: Path, sampler: Sampler | None, num_steps: int | None, image_size: int | None
) -> nn.Module:
    config = read_json(folder / "config.json")
    component = _network(folder, config)
    if config["_class_name"] != "UNet2DModel":
        return component
    learned = config.get("out_channels", 3) == 2 * config.get("in_channels", 3)
    scheduler = {
        "_class_name": "DDPMScheduler",
        "variance_type": "learned_range" if learned else "fixed_small",
    }
    scheduled = read_scheduler(scheduler, num_steps or _STEPS["DDPMPipeline"], sampler)
    size = _image_size(config, Identity(), image_size, None)
    return _model(component, Identity(), _labels(component), scheduled, size)


def _network(folder: Path, config: Mapping[str, Any]) -> Any:
    """A component with its weights; no initial weights are drawn."""
    with torch.device("meta"):
        module = network(config)
    weights = read_weights(folder)
    if isinstance(module, KLAutoencoder):
        weights = with_quant_convs(weights, config, module.latent_channels)
    state = our_weights(module, weights, str(folder))
    module.to_empty(device="cpu")
    if isinstance(module, Autoencoder):
        set_scale(module, config)
        state |= {"shift": module.shift, "scale": module.scale}
        state |= read_unfolded(folder, state)
    return load_state(module, state, str(folder))


def _conditioner(folder: Path, parts: list[str], unet: UNet) -> Any:
    if "text_encoder" in parts:
        return read_text_encoder(folder / "text_encoder", folder / "tokenizer")
    if "conditioner" in parts:
        return read_conditioner(folder / "conditioner")
    return _labels(unet)


def _labels(unet: UNet) -> Any:
    return Unconditional() if unet.num_classes is None else ClassLabel(unet.num_classes)


def _scheduler_config(folder: Path, name: str | None) -> dict[str, Any]:
    """The scheduler's config as the pipeline sees it: some pipelines change it."""
    config = read_json(folder / "scheduler" / "scheduler_config.json")
    if name == "DDIMPipeline":
        config = {k: v for k, v in config.items() if k != "variance_type"}
        config["_class_name"] = "DDIMScheduler"
    if name == "StableDiffusionPipeline":
        config["steps_offset"] = 1
        config["clip_sample"] = False
    return config


def _image_size(
    config: Mapping[str, Any], first_stage: Any, image_size: int | None, pipeline: str | None
) -> list[int]:
    if image_size is not None:
        return [image_size, image_size]
    size = config.get("sample_size")
    if size is None:
        raise ValueError("the U-Net's config has no sample_size: give image_size")
    sides = [size, size] if isinstance(size, int) else list(size)
    if pipeline == "StableDiffusionPipeline" and _is_old(config) and sides[0] < 64:
        sides = [64, 64]  # as the pipeline corrects configs of that time
    return [side * first_stage.downsampling for side in sides]


def _is_old(config: Mapping[str, Any]) -> bool:
    numbers = re.findall(r"\d+", str(config.get("_diffusers_version", "")))[:2]
    return bool(numbers) and tuple(map(int, numbers)) < (0, 9)


def _model(
    unet: UNet, first_stage: Any, conditioner: Any, scheduled: Scheduled, image_size: list[int]
) -> DiffusionModule:
    learned = isinstance(scheduled.variance, LearnedVariance)
    diffusion = GaussianDiffusion(
        scheduled.schedule,
        scheduled.parameterization,
        scheduled.variance,
        Hybrid() if learned else Simple(),
    )
    latent = not isinstance(first_stage, Identity)
    channels = first_stage.image_channels if latent else unet.in_channels
    guidance: Guidance = ClassifierFree(_SCALE) if conditioner.dropout else Unguided()
    if scheduled.bounds != (None if latent else [-1.0, 1.0]):
        guidance = Bounded(scheduled.bounds, guidance)
    arguments: dict[str, Any] = {
        "denoiser": unet,
        "diffusion": diffusion,
        "image_shape": [channels, *image_size],
        "sampler": scheduled.sampler,
        "conditioner": conditioner,
        "guidance": guidance,
    }
    if latent:
        kind = GuidedLatentDiffusion if conditioner.dropout else LatentDiffusion
        return kind(first_stage=first_stage, **arguments).eval()
    return (ImprovedDDPM if learned else DDPM)(**arguments).eval()
