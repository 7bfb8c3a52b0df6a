"""The pieces of one training run, from a composed config."""

from __future__ import annotations

import inspect
import logging
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class, instantiate
from lightning import LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from torch import nn

from zoo import text_encoder
from zoo.callbacks import EMA, Loss, Throughput
from zoo.device import accelerator, device_name, precision
from zoo.part import config_of
from zoo.target import check
from zoo.trainable import Trainable

_ENDLESS = 10**9  # steps that Lightning calls an epoch: the data have epochs of their own


def quiet() -> None:
    """Silences Lightning's own announcements; its warnings to users stay."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    # between Lightning 2.6 and torch 2.12 and later; no user can do anything about it
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    # a frozen first stage is meant to be; not every module has something to validate
    warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")
    warnings.filterwarnings("ignore", message=".*val_dataloader.* but have no `validation_step`")


def checkpoint_to_resume(ckpt_path: str | None, run_dir: Path) -> Path | None:
    """The training state to go on from: ``ckpt_path``, where "last" means the run folder's own.

    Raises:
        ValueError: there is no such file.
    """
    if ckpt_path is None:
        return None
    path = run_dir / "last.ckpt" if ckpt_path == "last" else Path(ckpt_path)
    if not path.is_file():
        raise ValueError(
            f"ckpt_path={ckpt_path}: there is no {path} to resume from; "
            "leave ckpt_path out to start anew, or set run_dir to the folder of the run"
        )
    return path


def data(cfg: DictConfig) -> Any:
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
    arguments: dict[str, Any] = {"recipe": instantiate(cfg.recipe, _convert_="all")}
    if _wants_autoencoder(cfg):
        arguments["first_stage"] = first_stage(cfg.autoencoder, list(cfg.trust))
    if cfg.text_encoder is not None:
        arguments["conditioner"] = text_encoder.load_text_encoder(
            cfg.text_encoder, cfg.conditioner, list(cfg.trust)
        )
    model: Trainable = instantiate(cfg.model, **arguments, _convert_="all")
    check(config_of(model), trust=None)  # what could not be saved is heard of before training
    _check_data(model, data)
    text_encoder.prepare(model, data, cfg.text_encoder is not None, cfg.tokenizer)
    model.training_seed = cfg.seed
    if cfg.channels_last:
        model.to(memory_format=torch.channels_last)
    if cfg.compile:
        _compile(model)
    return model


def _wants_autoencoder(cfg: DictConfig) -> bool:
    takes = inspect.signature(get_class(cfg.model._target_)).parameters
    return "first_stage" in takes and cfg.model.get("first_stage") is None


def first_stage(path: str | None, trust: Sequence[str] = ()) -> nn.Module:
    """The first stage out of a trained autoencoder's file.

    Args:
        path: the file.
        trust: packages, beside the zoo's own, whose classes it may name.

    Raises:
        ValueError: there is no file, or no autoencoder in it.
    """
    from zoo.checkpoint import load

    if path is None:
        raise ValueError(
            "a latent model needs an autoencoder: train one with `zoo train model=autoencoder "
            "data=...`, or convert a published one with `zoo convert`, and pass autoencoder=PATH "
            "of its file"
        )
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


def _compile(model: Any) -> None:
    if not hasattr(model, "denoiser"):
        raise ValueError(f"compile=true: a {type(model).__name__} has no denoiser to compile")
    model.denoiser.compile()  # in place: torch.compile(module) would rename the weights


def set_aside(run_dir: Path) -> None:
    """Moves an earlier run out of the way, to ``<run_dir>.1`` or the next free number."""
    traces = ("last.ckpt", "model.safetensors", "metrics.csv")
    rank = getattr(rank_zero_only, "rank", 0)
    if rank != 0 or not any((run_dir / name).exists() for name in traces):
        return
    number = 1
    while (free := run_dir.with_name(f"{run_dir.name}.{number}")).exists():
        number += 1
    run_dir.rename(free)
    print(f"{run_dir} held an earlier run: it is now {free}", file=sys.stderr)


def loggers(cfg: DictConfig) -> list[Logger]:
    """The trackers of ``cfg.logger``."""
    return [
        instantiate(node, _convert_="all") for node in (cfg.get("logger") or {}).values() if node
    ]


def trainer(cfg: DictConfig, loggers: list[Logger]) -> Trainer:
    """Lightning's trainer, with "auto" settled and our own bar, state files and data order."""
    callbacks = [
        instantiate(n, _convert_="all") for n in (cfg.get("callbacks") or {}).values() if n
    ]
    device = accelerator(cfg.trainer.accelerator)
    fixed = {
        "enable_progress_bar": False,
        "enable_checkpointing": any(hasattr(c, "write") for c in callbacks),
        "enable_model_summary": False,
        "use_distributed_sampler": False,  # the data share a batch between processes themselves
        "num_sanity_val_steps": 0,
        "check_val_every_n_epoch": None,  # count steps, not epochs
        "max_epochs": -1,
    }
    return instantiate(
        cfg.trainer,
        accelerator=device,
        precision=precision(cfg.trainer.precision, device),
        logger=loggers or False,
        callbacks=callbacks,
        default_root_dir=str(cfg.run_dir),
        **{key: value for key, value in fixed.items() if key not in cfg.trainer},
        _convert_="all",
    )


@rank_zero_only
def write_config(cfg: DictConfig, run_dir: Path, loggers: list[Logger]) -> None:
    """Puts the resolved config into the run folder and into the trackers."""
    resolved = OmegaConf.to_container(cfg, resolve=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(resolved), run_dir / "config.yaml")
    for logger in loggers:
        logger.log_hyperparams(resolved)  # type: ignore[arg-type]


def fit(
    trainer: Trainer,
    module: Trainable,
    data: LightningDataModule,
    ckpt_path: Path | None,
    run_dir: Path,
) -> None:
    """Trains; after Ctrl-C says how to go on and leaves with code 130."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    except SystemExit:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)  # Lightning left it ignored
        state = run_dir / "last.ckpt"
        remedy = (
            f"{state} is whole: the same command with ckpt_path=last goes on from it"
            if state.is_file()
            else "no state had been written yet (callbacks.training_state.every_n_steps)"
        )
        print(f"\ninterrupted at step {trainer.global_step}; {remedy}", file=sys.stderr)
        raise SystemExit(130) from None


def provenance(cfg: DictConfig, module: Trainable, data: Any, trainer: Trainer) -> dict[str, Any]:
    """Where the trained weights come from, in plain values; see ``zoo.checkpoint.provenance``."""
    optimizer = trainer.optimizers[0]
    ema = module.recipe.ema if module.recipe is not None else None
    throughput, loss = _find(trainer, Throughput), _find(trainer, Loss)
    averaged = isinstance(ema, EMA) and bool(ema.averages)
    return {
        "model": type(module).__name__,
        "weights": "ema" if averaged else "raw",
        "data": {
            "name": data.name,
            "shape": list(data.shape),
            "condition": data.condition,
            "train_images": len(data.train),
            "test_images": len(data.test),
        },
        "budget": {
            "data_fingerprint": data.fingerprint,
            "images_seen": throughput.images_seen if throughput else None,
            "batch_size": data.batch_size * trainer.accumulate_grad_batches,
            "optimizer": type(optimizer).__name__,
            "learning_rate": float(optimizer.defaults["lr"]),
            "lr_scheduler": _written(cfg.recipe.get("lr_scheduler")),
            "gradient_clip": trainer.gradient_clip_val,
            "ema": f"decay {ema.decay:g}" if averaged else "none",  # type: ignore[union-attr]
            "seed": cfg.seed,
            "precision": str(trainer.precision),
            "device": _devices(trainer, accelerator(cfg.trainer.accelerator)),
        },
        "steps": trainer.global_step,
        "training_seconds": round(throughput.seconds, 1) if throughput else None,
        "autoencoder": _autoencoder(cfg) if _wants_autoencoder(cfg) else None,
        "history": loss.curve() if loss else [],
    }


def _autoencoder(cfg: DictConfig) -> dict[str, Any]:
    from zoo.checkpoint import provenance, sha256

    return {"sha256": sha256(cfg.autoencoder), "provenance": provenance(cfg.autoencoder)}


def _devices(trainer: Trainer, device: str) -> str:
    name = device_name(device)
    return name if trainer.world_size == 1 else f"{trainer.world_size} x {name}"


def _written(node: Any) -> str | None:
    """A partial's config as a call, such as ``warmup(num_steps=500)``."""
    if node is None:
        return None
    arguments = [f"{k}={v}" for k, v in node.items() if k not in ("_target_", "_partial_")]
    return f"{node['_target_'].rpartition('.')[2]}({', '.join(arguments)})"


def _find(trainer: Trainer, kind: type) -> Any:
    return next((c for c in trainer.callbacks if isinstance(c, kind)), None)  # type: ignore[attr-defined]
