"""A model of the zoo as a folder that diffusers' own pipelines load; diffusers is not imported."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zoo.conditioner import CLIPText, Unconditional
from zoo.convert.diffusers.autoencoder import Autoencoder, autoencoder_config
from zoo.convert.diffusers.fold import UNFOLDED, folded, unfolded
from zoo.convert.diffusers.keys import their_weights
from zoo.convert.diffusers.scheduler_config import scheduler_config
from zoo.convert.diffusers.text import text_encoder_config, text_encoder_weights, tokenizer_files
from zoo.convert.diffusers.unet_config import unet_config
from zoo.denoiser import UNet
from zoo.first_stage import Identity
from zoo.module import DiffusionModule
from zoo.part import config_of

VERSION = "0.32.0"  # the oldest diffusers whose folders look like this
_WEIGHTS = "diffusion_pytorch_model.safetensors"
Files = dict[str, Any]
"""Path within the folder to content: a text, a dict for JSON, or tensors."""


def to_diffusers(module: nn.Module, folder: str | Path) -> str | None:
    """Writes a model, or an autoencoder alone, as diffusers' ``save_pretrained`` would.

    Pixel models without a condition become a DDPMPipeline, latent ones an LDMPipeline, those with
    a ``CLIPText`` a StableDiffusionPipeline. For other conditions diffusers has no pipeline: then
    the components are written, the conditioner as one of our own, and no ``model_index.json``.
    ``from_diffusers`` reads all of these. Diffusers keeps neither the number of steps nor the loss.

    Args:
        module: a diffusion model of the zoo, or an autoencoder.
        folder: is made; it appears whole or not at all.

    Returns:
        The name of the pipeline that loads the folder, or None where there is none.

    Raises:
        ValueError: the folder exists and is not empty, or diffusers cannot express the model; the
            message says what.
    """
    pipeline, files = _content(module)
    _write(Path(folder), files)
    return pipeline


def _content(module: nn.Module) -> tuple[str | None, Files]:
    if isinstance(module, DiffusionModule):
        return _model(module)
    if isinstance(module, Autoencoder):
        side = module.downsampling * 32
        return None, _autoencoder("", module, [side, side])
    raise ValueError(
        f"a {type(module).__name__} cannot be written as a diffusers folder: possible are the "
        "zoo's diffusion models and autoencoders"
    )


def _model(module: DiffusionModule) -> tuple[str | None, Files]:
    unet = module.denoiser
    if not isinstance(unet, UNet):
        raise ValueError(f"diffusers has no {type(unet).__name__} that ours could be written as")
    scale = getattr(module.clock, "scale", None)
    if scale != 1:
        raise ValueError(
            "diffusers' U-Nets are given timesteps as they are, this model's clock is "
            f"{type(module.clock).__name__} with scale={scale}"
        )
    scheduler = scheduler_config(module)
    files: Files = {
        **_component("unet", unet_config(unet, list(module.latent_shape[1:])), their_weights(unet)),
        "scheduler/scheduler_config.json": scheduler,
    }
    index: dict[str, Any] = {
        "unet": ["diffusers", files["unet/config.json"]["_class_name"]],
        "scheduler": ["diffusers", scheduler["_class_name"]],
    }
    pipeline: str | None = "DDPMPipeline"
    first_stage: Any = module.first_stage
    if not isinstance(first_stage, Identity):
        pipeline = "LDMPipeline"
        part = "vae" if isinstance(module.conditioner, CLIPText) else "vqvae"
        files |= _autoencoder(part, first_stage, module.image_shape[1:])
        index[part] = ["diffusers", files[f"{part}/config.json"]["_class_name"]]
    if isinstance(module.conditioner, CLIPText):
        pipeline = "StableDiffusionPipeline"
        files |= _text(module.conditioner)
        index |= _STABLE
    elif not isinstance(module.conditioner, Unconditional):
        return None, files | _conditioner(module.conditioner)
    header = {"_class_name": pipeline, "_diffusers_version": VERSION}
    return pipeline, {"model_index.json": header | index, **files}


_STABLE: dict[str, Any] = {
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "safety_checker": [None, None],
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
}


def _component(part: str, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Files:
    base = f"{part}/" if part else ""
    header = {"_class_name": config["_class_name"], "_diffusers_version": VERSION}
    return {f"{base}config.json": {**header, **config}, f"{base}{_WEIGHTS}": dict(weights)}


def _autoencoder(part: str, module: Autoencoder, image_size: list[int]) -> Files:
    state = module.state_dict()
    new, scale = folded(state)
    config = autoencoder_config(module, image_size) | {"scaling_factor": scale}
    weights = their_weights(module)
    for name, tensor in new.items():  # each has one name on both sides
        weights[name.replace("codebook", "quantize.embedding")] = tensor
    files = _component(part, config, weights)
    if new:
        files[f"{part}/{UNFOLDED}" if part else UNFOLDED] = unfolded(state)
    return files


def _text(text: CLIPText) -> Files:
    return {
        "text_encoder/config.json": text_encoder_config(text),
        "text_encoder/model.safetensors": text_encoder_weights(text),
        **{f"tokenizer/{name}": content for name, content in tokenizer_files(text).items()},
    }


def _conditioner(conditioner: Any) -> Files:
    files: Files = {"conditioner/config.json": config_of(conditioner)}
    if isinstance(conditioner, nn.Module) and (state := conditioner.state_dict()):
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        files["conditioner/model.safetensors"] = weights
    return files


def _write(folder: Path, files: Files) -> None:
    """All files in a folder beside ``folder``, which is then moved to its place."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: exists and is not empty: give a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        for name, content in files.items():
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_file(path, content)
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_file(path: Path, content: Any) -> None:
    from safetensors.torch import save_file

    if path.suffix == ".safetensors":
        save_file(content, path, {"format": "pt"})
        path.chmod(path.parent.stat().st_mode & 0o666)  # as the umask has it, not 0600
    else:
        text = content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"
        path.write_text(text, encoding="utf-8")
