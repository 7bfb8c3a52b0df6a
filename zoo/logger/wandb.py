"""Weights & Biases: one run per run folder, also when it is resumed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from zoo.logger.csv import Row, numbers
from zoo.logger.wandb_file import last_step
from zoo.system.files import write_atomically

_FLUSH_SECONDS = 0.2  # W&B's own 15 would be lost with a kill


class OneRowPerStep(WandbLogger):
    """Lightning's logger with W&B's own step, so that all values of a step are one row.

    Lightning makes a row of every call, under a step that W&B counts itself. With the training's
    own step, resumed parts of a run also follow one another, which ``wandb sync`` needs. A row is
    handed over when the next one begins, or at the end: that of a step which is broken off waits
    for the run that resumes it.
    """

    _last = -1  # the last step of the parts before this one
    _step: int | None = None
    _row: dict[str, Any] = {}

    @rank_zero_only
    def resume(self, step: int, rows: Sequence[Row] = ()) -> None:
        """Goes on behind the parts that are there.

        What a kill has kept from being written comes from ``rows``; what is made again, with the
        same numbers, is not logged again.

        Args:
            step: steps that the resumed state is after.
            rows: of metrics.csv, ascending.
        """
        run = self.experiment
        self._last = last_step(Path(self.save_dir or "."), run.id)
        self._last = max(self._last, run.starting_step - 1)  # of the server, online
        for row in rows:
            if row["step"] < step:
                self.log_metrics(numbers(row), row["step"])

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds values, numbers or media, to the row of ``step``."""
        if step is None:
            self.experiment.log(dict(metrics))
        elif step > self._last:
            if step != self._step:
                self._hand_over()
                self._step, self._row = step, {}
            self._row.update(metrics)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Hands the last row over, where the training has come to its end."""
        if status == "success":
            self._hand_over()
        super().finalize(status)

    def _hand_over(self) -> None:
        if self._step is not None:
            row = {**self._row, "trainer/global_step": self._step}
            self.experiment.log(row, step=self._step)
        self._step = None


def wandb_logger(
    folder: str | Path,
    project: str = "diffusion-zoo",
    name: str | None = None,
    mode: str = "offline",
    **settings: Any,
) -> OneRowPerStep:
    """A logger whose run id is kept in ``folder``, so that a resumed training continues its run.

    Args:
        folder: the run's folder; W&B's files go there too.
        project: W&B's project.
        name: the run's name, such as "cifar10-ddpm-seed0"; W&B invents one when None.
        mode: "online", "offline" (``wandb sync`` uploads later) or "disabled".
        settings: for ``wandb.init``, such as ``group``, ``job_type`` or ``tags``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if mode != "online":  # W&B's usage statistics would ask the network even then
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    logger = OneRowPerStep(
        project=project,
        name=name,
        save_dir=folder,
        id=_run_id(folder),
        mode=mode,
        **{"settings": _often_flushed(), **settings},
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


def _often_flushed() -> dict[str, float]:
    """The setting by which W&B writes its offline file at once; not every version has it."""
    from wandb import Settings

    name = "x_transaction_log_flush_interval"
    return {name: _FLUSH_SECONDS} if hasattr(Settings(), name) else {}


def _run_id(folder: Path) -> str:
    file = folder / "wandb_id.txt"
    if not file.exists():
        write_atomically(file, secrets.token_hex(4))
    return file.read_text().strip()
