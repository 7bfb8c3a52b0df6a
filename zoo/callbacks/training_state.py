"""The state to resume from: weights, optimizer, averages, schedules, position in the data."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from zoo.callbacks.after_step import AfterStep, move_back, step_skipped
from zoo.system.files import replacing


class TrainingState(AfterStep, Checkpoint):
    """Writes ``last.ckpt`` every N steps and at the end, before the pictures of that step.

    The new file replaces the old one when it is complete, so a full disk or Ctrl-C leaves the old
    one intact. It holds tensors and plain containers only: ``weights_only=True`` reads it.

    Args:
        path: the file.
        every_n_steps: steps between two writes.
    """

    turn = 1

    def __init__(self, path: str | Path, every_n_steps: int = 1000) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps is positive, got {every_n_steps}")
        self.path = Path(path)
        self.every_n_steps = every_n_steps
        self._written_step = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        move_back(trainer, self)

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        last = trainer.global_step == trainer.max_steps
        due = trainer.global_step % self.every_n_steps == 0
        if last or (due and not step_skipped(module)):  # the one before a skipped step is safer
            self.write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._written_step != trainer.global_step:  # ended by time or by another callback
            self.write(trainer)

    def write(self, trainer: Trainer) -> None:
        """Writes the state as it is after the step just made."""
        self._written_step = trainer.global_step
        self.path.parent.mkdir(parents=True, exist_ok=True)
        first = trainer.is_global_zero
        with replacing(self.path) if first else nullcontext(self.path) as path:
            trainer.save_checkpoint(path)  # every process takes part, the first one writes
