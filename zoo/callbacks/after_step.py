"""The base of the callbacks: one call per optimizer step, and rows for the loggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from zoo.records import Batch

Outputs = Mapping[str, Any]
"""The result of a training step: "loss", perhaps "figures" to log by name, and more."""


class AfterStep(Callback):
    """Calls ``after_step`` once per optimizer step, not between accumulated batches."""

    turn: ClassVar[int] = 0
    """Its place in a step, which ``move_back`` gives it: -1 the check that a step is finite, 0 all
    others, 1 the state to resume from, 2 measurements, 3 Lightning's checkpoints, which read them,
    4 pictures. So whatever takes long begins when the state is written, and Ctrl-C loses nothing.
    """
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


def move_back(trainer: Trainer, callback: Callback) -> None:
    """Moves a callback behind the model's own, the averages, and to its turn; for ``setup``.

    Lightning puts the averages behind every other callback: what sees those of step n after step n
    has to stand behind them.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    others = [other for other in callbacks if other is not callback]
    trainer.callbacks = sorted([*others, callback], key=_turn)  # type: ignore[attr-defined]


def _turn(callback: Callback) -> int:
    turn: int | None = getattr(callback, "turn", None)
    return turn if turn is not None else 3 * isinstance(callback, Checkpoint)


def is_logging(trainer: Trainer, next_step: bool = False) -> bool:
    """Whether the loggers get a row for the step just made, or for the next one."""
    interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return (trainer.global_step + next_step) % max(1, interval) == 0


def step_skipped(module: LightningModule) -> bool:
    """Whether the optimizer step just made changed nothing, for something was not finite."""
    return bool(getattr(module, "step_skipped", False))


def log(trainer: Trainer, values: Mapping[str, float], step: int | None = None) -> None:
    """Writes to every logger's row for the step just made, counted from 0 as Lightning counts."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(values), step=trainer.global_step - 1 if step is None else step)


def log_step(trainer: Trainer) -> None:
    """Writes what the module itself logged in the step just made, which Lightning does later.

    A state that is written among the callbacks covers the whole row.
    """
    trainer._logger_connector.update_train_step_metrics()
