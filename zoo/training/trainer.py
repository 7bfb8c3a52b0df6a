"""Lightning's trainer for one run, and its loggers."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from zoo.checkpoint import state_file
from zoo.logger.resume import resume
from zoo.system.device import accelerator, precision, slow_precision
from zoo.system.files import remove_leftovers
from zoo.trainable import Trainable
from zoo.training.distributed.engine import cluster_environment
from zoo.training.ending import Ending
from zoo.training.run.resume import State
from zoo.training.signals import LeaveOnSignal, leaving


def quiet() -> None:
    """Silences Lightning's own announcements; its warnings to users stay."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    # between Lightning 2.6 and torch 2.12 and later; no user can do anything about it
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    # a frozen first stage is intended; not every module has something to validate
    warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")
    warnings.filterwarnings(
        "ignore", message=".*callbacks used to create the checkpoint need to be"
    )
    warnings.filterwarnings("ignore", message=".*val_dataloader.* but have no `validation_step`")


def loggers(cfg: DictConfig) -> list[Logger]:
    """The trackers of ``cfg.logger``."""
    return [
        instantiate(node, _convert_="all") for node in (cfg.get("logger") or {}).values() if node
    ]


def trainer(cfg: DictConfig, loggers: list[Logger], own: Sequence[Callback]) -> Trainer:
    """Lightning's trainer, with "auto" resolved and our own bar, state files and data order.

    Args:
        cfg: the training's.
        loggers: see above.
        own: callbacks that come before those of the config.
    """
    nodes = (cfg.get("callbacks") or {}).values()
    callbacks = [*own, *(instantiate(node, _convert_="all") for node in nodes if node)]
    callbacks += [LeaveOnSignal(), *(c.rest for c in own if isinstance(c, Ending))]
    device = accelerator(cfg.trainer.accelerator)
    if line := slow_precision(cfg.trainer.precision, device):
        rank_zero_only(print)(line, file=sys.stderr)
    fixed = {
        "plugins": [cluster_environment()],
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
def log_config(config: dict[str, Any], loggers: list[Logger]) -> None:
    """Puts the resolved config into the trackers."""
    for logger in loggers:
        logger.log_hyperparams(config)


def finished(cfg: DictConfig, state: State, model_file: Path) -> Path:
    """Says that nothing is left to do.

    Returns:
        The model's file, untouched.

    Raises:
        ValueError: more was asked for: ``ckpt_path`` is not auto.
    """
    steps = f"trainer.max_steps={cfg.trainer.max_steps}"
    if cfg.ckpt_path != "auto":
        raise ValueError(
            f"{state.path} is at step {state.step} and {model_file} is of that step: {steps} "
            f"leaves nothing to train; set it above {state.step}"
        )
    rank_zero_only(print)(
        f"{model_file} is finished: {state.step} steps were made, {steps}", flush=True
    )
    return model_file


def fit(
    trainer: Trainer,
    module: Trainable,
    data: LightningDataModule,
    ckpt_path: Path | None,
    ending: Ending,
) -> None:
    """Trains, or goes on with the training whose state is in ``ckpt_path``.

    Raises:
        ValueError: the state is damaged, or of another model.
        SystemExit: a signal ended the training; see ``zoo.training.signals``.
    """
    if trainer.is_global_zero:
        remove_leftovers(ending.path.parent)
    if ckpt_path is not None:
        state = state_file.read(ckpt_path, mmap=True)
        state_file.check_model(state, module, ckpt_path)
        resume(trainer.loggers, state["global_step"])
        del state
    with leaving(trainer, ending):
        trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
