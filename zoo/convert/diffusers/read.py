"""Models saved by diffusers become models of the zoo; diffusers itself is not imported.

Whatever stands in a folder's configs is either reproduced or refused by its name: a model that
loads computes what diffusers computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from zoo.checkpoint.arguments import check_arguments
from zoo.checkpoint.outline import materialised, outline
from zoo.conditioner import ClassLabel, Unconditional
from zoo.convert.arguments import readable
from zoo.convert.diffusers.autoencoder import (
    Autoencoder,
    kl_autoencoder,
    set_scale,
    vq_autoencoder,
    with_quant_convs,
)
from zoo.convert.diffusers.fold import read_unfolded
from zoo.convert.diffusers.folder import Files, read_conditioner, scheduler_config_of
from zoo.convert.diffusers.keys import our_weights
from zoo.convert.diffusers.scheduler import Scheduled, read_scheduler
from zoo.convert.diffusers.text import read_text_encoder
from zoo.convert.diffusers.unet import diffused_sides, pixel_unet, text_unet
from zoo.convert.keys import load_state
from zoo.convert.text import read_json
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


class _Options(NamedTuple):
    """The caller's choices of the whole model; see ``from_diffusers``."""

    sampler: Sampler | None
    num_steps: int | None
    image_size: int | None

    def scheduled(self, config: dict[str, Any], pipeline: str | None) -> Scheduled:
        """What a scheduler's config says, with the pipeline's number of steps."""
        return read_scheduler(config, self.num_steps or _STEPS.get(str(pipeline), 50), self.sampler)


def network(config: Mapping[str, Any]) -> nn.Module:
    """The bare network of a component's ``config.json``, with random weights.

    Args:
        config: a dict with ``_class_name``; other options have diffusers' defaults.

    Raises:
        ValueError: the class is unknown, or an option cannot be reproduced.
    """
    name = config.get("_class_name")
    if not isinstance(name, str) or name not in _NETWORKS:
        raise ValueError(
            f"diffusers' network {name!r} is not known (the config's _class_name): possible are "
            f"{', '.join(_NETWORKS)}"
        )
    kind, translate = _NETWORKS[name]
    arguments = translate(config)
    check_arguments(kind, arguments)
    return kind(**arguments)


def from_diffusers(
    folder: str | Path,
    sampler: Sampler | None = None,
    num_steps: int | None = None,
    image_size: int | None = None,
    weights: str | None = None,
    variant: str | None = None,
) -> nn.Module:
    """Reads a local folder that diffusers' ``save_pretrained`` wrote.

    A pipeline (DDPM, DDIM, PNDM, LDM, Stable Diffusion 1.x) becomes a whole model; a U-Net for
    pixels alone a DDPM with a linear schedule; any other network alone is returned bare.

    Args:
        folder: with ``model_index.json``, or a component's own ``config.json``.
        sampler: the model's default walk; the scheduler's own when None.
        num_steps: of the scheduler's walk; the pipeline's default when None.
        image_size: in place of the size that follows from the U-Net's ``sample_size``.
        weights: "ema" or "raw"; None takes the averages where there are any (``unet_ema``).
        variant: of the files, such as "fp16"; None takes those without, or the only one.

    Returns:
        The model; its ``origin`` says which weights were taken.

    Raises:
        ValueError: something in the folder is missing, unknown or cannot be reproduced exactly; the
            message names the option and its value, or the weights.
    """
    folder, files = Path(folder), Files(weights, variant)
    if not folder.is_dir():
        raise ValueError(f"{folder}: {'not a' if folder.exists() else 'no such'} folder")
    options = _Options(sampler, num_steps, image_size)
    with readable(str(folder)):
        module = _model_of(folder, files, options)
    files.finish(folder)
    module.origin = files.origin  # type: ignore[assignment]
    return module


def _model_of(folder: Path, files: Files, options: _Options) -> nn.Module:
    if (folder / "model_index.json").is_file():
        return _pipeline(folder, read_json(folder / "model_index.json"), files, options)
    if (folder / "scheduler").is_dir() and (folder / "unet" / "config.json").is_file():
        index = {"_class_name": None, **{part.name: part.name for part in folder.iterdir()}}
        return _pipeline(folder, index, files, options)
    # a component's folder, or a training state of accelerate's, which has no scheduler
    whole = (folder / "config.json").is_file()
    return _component(folder if whole else files.unet(folder), files, options)


def _pipeline(folder: Path, index: dict[str, Any], files: Files, options: _Options) -> nn.Module:
    name = index.get("_class_name")
    if name is not None and name not in _STEPS:
        pipelines = ", ".join(_STEPS)
        raise ValueError(f"{folder}: the pipeline {name} is not known: possible are {pipelines}")
    parts = [k for k, v in index.items() if v and not k.startswith("_") and v != [None, None]]
    surplus = {*parts} - {*_COMPONENTS, *_AFTERWARDS, "requires_safety_checker", "conditioner"}
    if surplus and name is not None:
        raise ValueError(f"{folder}: {name}'s {', '.join(sorted(surplus))} cannot be reproduced")

    unet_folder = files.unet(folder)
    unet_config = read_json(unet_folder / "config.json")
    unet = _network(unet_folder, unet_config, files, main=True)
    first_stage: Any = Identity()
    for part in ("vae", "vqvae"):
        if part in parts:
            first_config = read_json(folder / part / "config.json")
            first_stage = _network(folder / part, first_config, files)
    conditioner = _conditioner(folder, parts, unet, files)
    scheduled = options.scheduled(scheduler_config_of(folder, name), name)
    size = diffused_sides(unet_config, options.image_size, name)
    factor = 1 if options.image_size is not None else first_stage.downsampling
    return _model(unet, first_stage, conditioner, scheduled, [side * factor for side in size])


def _component(folder: Path, files: Files, options: _Options) -> nn.Module:
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder}: not a diffusers folder: there is neither model_index.json nor config.json"
        )
    config = read_json(folder / "config.json")
    component = _network(folder, config, files, main=True)
    if config["_class_name"] != "UNet2DModel":
        return component
    learned = config.get("out_channels", 3) == 2 * config.get("in_channels", 3)
    variance = "learned_range" if learned else "fixed_small"
    scheduler = {"_class_name": "DDPMScheduler", "variance_type": variance}
    scheduled = options.scheduled(scheduler, "DDPMPipeline")
    size = diffused_sides(config, options.image_size, None)
    return _model(component, Identity(), _labels(component), scheduled, size)


def _network(folder: Path, config: dict[str, Any], files: Files, main: bool = False) -> Any:
    """A component with its weights; no initial weights are drawn."""
    if main:
        files.check_network(folder, config)
    weights = files.read(folder)
    module = outline(lambda: network(config), len(weights))
    if isinstance(module, KLAutoencoder):
        weights = with_quant_convs(weights, config, module.latent_channels)
    state = our_weights(module, weights, str(folder))
    materialised(module)
    if isinstance(module, Autoencoder):
        set_scale(module, config)
        state |= {"shift": module.shift, "scale": module.scale}
        state |= read_unfolded(folder, state)
    return load_state(module, state, str(folder))


def _conditioner(folder: Path, parts: list[str], unet: UNet, files: Files) -> Any:
    if "text_encoder" in parts:
        return read_text_encoder(folder / "text_encoder", folder / "tokenizer", files)
    if "conditioner" in parts:
        return read_conditioner(folder / "conditioner", files)
    return _labels(unet)


def _labels(unet: UNet) -> Any:
    return Unconditional() if unet.num_classes is None else ClassLabel(unet.num_classes)


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
