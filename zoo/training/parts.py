"""Data, model and first stage of one training run, from a composed config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.utils import get_class, instantiate
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig
from torch import nn

from zoo.checkpoint.build import check_config
from zoo.checkpoint.file import load
from zoo.conditioner import is_conditional
from zoo.module import DiffusionModule
from zoo.part import config_of
from zoo.performance.compiler import compile_denoiser
from zoo.performance.layout import arrange
from zoo.system.device import accelerator, torch_device
from zoo.trainable import Trainable
from zoo.training import text_encoder

_ENDLESS = 10**9  # steps that Lightning calls an epoch: the data have epochs of their own


def data_module(cfg: DictConfig) -> Any:
    """The data module, loaded, with an epoch as long as any training."""
    module: Any = instantiate(cfg.data, _convert_="all")
    module.prepare_data()
    module.setup("fit")
    if module.steps_per_epoch is None:
        module.steps_per_epoch = _ENDLESS
    return module


def module(cfg: DictConfig, data: Any) -> Trainable:
    """The model with its recipe; latent models get the first stage out of ``cfg.autoencoder``.

    Models that read captions get their text encoder out of ``cfg.text_encoder``, if given, and a
    tokenizer from ``cfg.tokenizer`` or from the captions.

    Raises:
        ValueError: the model does not go with the data, or lacks its autoencoder.
    """
    check_first_stage(cfg)
    arguments: dict[str, Any] = {"recipe": instantiate(cfg.recipe, _convert_="all")}
    if wants_autoencoder(cfg):
        arguments["first_stage"] = first_stage(cfg.autoencoder, list(cfg.trust))
    if cfg.text_encoder is not None:
        arguments["conditioner"] = text_encoder.load_text_encoder(
            cfg.text_encoder, cfg.conditioner, list(cfg.trust)
        )
    # by hydra, not zoo.checkpoint.build: a loss of training is no Part, and errors name the place
    model: Trainable = instantiate(cfg.model, **arguments, _convert_="all")
    check_config(config_of(model), trust=None)  # what could not be saved fails early
    if isinstance(model, DiffusionModule):
        model.sampler.levels(model.diffusion.schedule)  # and more steps than the schedule has
    _check_data(model, data)
    text_encoder.prepare(model, data, cfg.text_encoder is not None, cfg.tokenizer)
    if (text := unread(model, data)) is not None:
        rank_zero_only(print)(text)
    model.training_seed = cfg.seed
    device = torch_device(accelerator(cfg.trainer.accelerator))
    if cfg.channels_last == "auto":
        arrange(model, device.type == "cuda", device)
    else:
        arrange(model, cfg.channels_last, device)
    if cfg.compile:
        compile_denoiser(model, device)
    return model


def check_first_stage(cfg: DictConfig) -> None:
    """Refuses a latent model without an autoencoder, and another model with one.

    Raises:
        ValueError: see above.
    """
    wants = wants_autoencoder(cfg)
    if wants and cfg.autoencoder is None:
        raise ValueError(
            "a latent model needs an autoencoder: train one with `zoo train model=autoencoder "
            "data=...`, or convert a published one with `zoo convert`, and pass autoencoder=PATH "
            "of its file"
        )
    if cfg.autoencoder is not None and not wants:
        kind = cfg.model._target_.rpartition(".")[2]
        raise ValueError(
            f"autoencoder={cfg.autoencoder}: this {kind} takes none, its images are not encoded or "
            "model.first_stage says how; leave it out, or choose a latent model"
        )


def wants_autoencoder(cfg: DictConfig) -> bool:
    """Whether the model takes a first stage that its config does not name."""
    kind = get_class(cfg.model._target_)
    return getattr(kind, "takes_first_stage", False) and cfg.model.get("first_stage") is None


def first_stage(path: str, trust: Sequence[str] = ()) -> nn.Module:
    """The first stage out of a trained autoencoder's file.

    Args:
        path: the file.
        trust: packages, beside the zoo's own, whose classes it may name.

    Raises:
        ValueError: there is no file, or no autoencoder in it.
    """
    saved = load(path, trust)
    if not isinstance(getattr(saved, "first_stage", None), nn.Module):
        raise ValueError(f"autoencoder={path} holds a {type(saved).__name__}, not an autoencoder")
    return saved.first_stage


def _check_data(model: Any, data: Any) -> None:
    shape = getattr(model, "image_shape", None)
    if shape is not None and tuple(shape) != tuple(data.shape):
        raise ValueError(f"the model is for images {tuple(shape)}, {data.name} has {data.shape}")
    conditioner = getattr(model, "conditioner", None)
    classes = getattr(conditioner, "num_classes", None)
    if classes is None:
        return
    if data.condition != "label":
        raise ValueError(
            f"{type(conditioner).__name__} needs labels, but data.condition={data.condition}: set "
            "data.condition=label, or conditioner=unconditional"
        )
    if data.num_classes is not None and data.num_classes > classes:
        raise ValueError(
            f"{data.name} has {data.num_classes} classes but the model knows {classes}: "
            f"set conditioner.num_classes={data.num_classes}"
        )


def unread(model: Any, data: Any) -> str | None:
    """A line on labels or captions of the data that the model does not read, or None."""
    conditioner = getattr(model, "conditioner", None)
    if data.condition == "none" or is_conditional(conditioner):
        return None
    return (
        f"this {type(model).__name__} is unconditional: it trains without the {data.condition}s of "
        f"{data.name}; conditioner=class_label (or clip_text) reads them"
    )
