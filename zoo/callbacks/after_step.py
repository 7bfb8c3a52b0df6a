"""The base of the callbacks: one call per optimizer step, and rows for the loggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.records import Batch

Outputs = Mapping[str, Tensor]
"""The result of a training step: "loss" and perhaps more."""


class AfterStep(Callback):
    """Calls ``after_step`` once per optimizer step, not between accumulated batches."""

    _last_step = 0

    def after_batch(
        self, trainer: Trainer, module: LightningModule, outputs: Outputs, batch: Batch
    ) -> None:
        """Called after every batch, before ``after_step``, with the training step's outputs."""

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        """Called once ``trainer.global_step`` steps are done."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.after_batch(trainer, pl_module, outputs, batch)
        if trainer.global_step != self._last_step:
            self._last_step = trainer.global_step
            self.after_step(trainer, pl_module)


def is_logging(trainer: Trainer, next_step: bool = False) -> bool:
    """Whether the loggers get a row for the step just made, or for the next one."""
    interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return (trainer.global_step + next_step) % max(1, interval) == 0


def log(trainer: Trainer, values: Mapping[str, float], step: int | None = None) -> None:
    """Writes to every logger's row for the step just made, counted from 0 as Lightning counts."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(values), step=trainer.global_step - 1 if step is None else step)
