"""Weights & Biases: one run per run folder, also when it is resumed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only


def wandb_logger(
    folder: str | Path,
    project: str = "diffusion-zoo",
    name: str | None = None,
    mode: str = "offline",
    **settings: Any,
) -> WandbLogger:
    """A logger whose run id is kept in ``folder``, so that a resumed training continues its run.

    Args:
        folder: the run's folder; W&B's files go there too.
        project: W&B's project.
        name: the run's name; W&B invents one when None.
        mode: "online", "offline" (``wandb sync`` uploads later) or "disabled".
        settings: for ``wandb.init``, such as ``group`` or ``tags``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if mode != "online":  # W&B's usage statistics would ask the network even then
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    logger = WandbLogger(
        project=project, name=name, save_dir=folder, id=_run_id(folder), mode=mode, **settings
    )
    logger._wandb_init.pop("anonymous", None)  # W&B warns of it, even where it is None
    return logger


@rank_zero_only
def log_model(loggers: Iterable[Logger], path: Path, facts: dict[str, Any]) -> None:
    """Adds a model's file to every W&B run among ``loggers`` as an artifact."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            artifact = wandb.Artifact(f"model-{logger.experiment.id}", type="model", metadata=facts)
            artifact.add_file(str(path))
            logger.experiment.log_artifact(artifact)


@rank_zero_only
def finish(loggers: Iterable[Logger]) -> None:
    """Ends the W&B runs among ``loggers``, so that the next training starts its own."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()


def _run_id(folder: Path) -> str:
    file = folder / "wandb_id.txt"
    if not file.exists():
        file.write_text(secrets.token_hex(4))
    return file.read_text().strip()
