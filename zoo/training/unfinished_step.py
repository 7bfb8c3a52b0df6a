"""The rest of a step whose state was written before it: a resumed training begins with it."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer

from zoo.callbacks.after_step import AfterStep, move_back
from zoo.callbacks.training_state import UNFINISHED, TrainingState


class UnfinishedStep(AfterStep):
    """Makes up for what a kill, a signal or the end of a job took from the last step.

    A state is written before the measurements, pictures and the validation of its step, which may
    take long. Whoever resumes from it makes them first, so that no curve lacks a point.
    """

    turn = 5

    def __init__(self) -> None:
        self._epoch: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        move_back(trainer, self)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        state = checkpoint.get(UNFINISHED)
        self._epoch = None if state is None else int(state["epoch"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.finish(trainer, pl_module)

    def finish(self, trainer: Trainer, module: LightningModule) -> None:
        """Does what is left of the resumed step, once."""
        if self._epoch is None:
            return
        progress: Any = trainer.fit_loop.epoch_progress.current
        epoch, progress.processed = progress.processed, self._epoch  # rows have the step's own
        self._epoch = None
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, AfterStep) and callback.turn > TrainingState.turn:
                callback.after_step(trainer, module)
        _validate(trainer)
        progress.processed = epoch


def _validate(trainer: Trainer) -> None:
    """Validates where it is due after the last step, as Lightning's loop does in its course."""
    loop: Any = trainer.fit_loop.epoch_loop
    if trainer.global_step == trainer.max_steps:
        trainer.should_stop = True  # always due after the last step
    if not loop._should_check_val_fx(trainer.fit_loop._data_fetcher):
        return
    loop.val_loop.restarting = False
    trainer.validating = True
    loop.val_loop.run()
    trainer.training = True
