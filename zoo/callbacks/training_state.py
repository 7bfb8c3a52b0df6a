"""The state to resume from: weights, optimizer, averages, schedules, position in the data."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_warn

from zoo.callbacks.after_step import AfterStep, log_step, move_back, step_skipped
from zoo.checkpoint.state_io import StateIO
from zoo.system.files import replacing

UNFINISHED = "unfinished_step"
"""The key of a state whose step is not over: measurements, pictures and the validation are due."""


class TrainingState(AfterStep, Checkpoint):
    """Writes ``last.ckpt`` every N steps and at the end, before whatever takes long in that step.

    The new file replaces the old one when it is on the disk, so a full disk, Ctrl-C or a kill
    leaves the old one intact. Before that, the loggers write the rows that it covers. It holds
    tensors and plain containers only: ``weights_only=True`` reads it.

    A disk that is full is no reason to end a training: a warning says so, and the next write is
    tried when it is due.

    Args:
        path: the file.
        every_n_steps: steps between two writes.
        keep_last: newest states to keep, ``path`` among them: with 3, also the two before it, as
            ``step_00001000.ckpt`` beside it.
        keep_every_n_steps: states of these steps are written and kept for good.
        keep_steps: of these too.

    Attributes:
        step: for which a state was last written, or tried to be; -1 before.
        error: why the last write failed; None where it did not.

    Raises:
        ValueError: a number is not positive.
    """

    turn = 1

    def __init__(
        self,
        path: str | Path,
        every_n_steps: int = 1000,
        keep_last: int = 1,
        keep_every_n_steps: int | None = None,
        keep_steps: Sequence[int] = (),
    ) -> None:
        numbers = {
            "every_n_steps": every_n_steps,
            "keep_last": keep_last,
            "keep_every_n_steps": 1 if keep_every_n_steps is None else keep_every_n_steps,
            "keep_steps": min(keep_steps, default=1),
        }
        for name, number in numbers.items():
            if number < 1:
                raise ValueError(f"{name} is positive, got {number}")
        self.path = Path(path)
        self.every_n_steps, self.keep_last = every_n_steps, keep_last
        self.keep_every_n_steps, self.keep_steps = keep_every_n_steps, frozenset(keep_steps)
        self.step = -1
        self.error: OSError | None = None
        self._addition: dict[str, Any] = {}  # to the state that is being written
        self._loops: Mapping[str, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        move_back(trainer, self)
        if not isinstance(trainer.strategy.checkpoint_io, StateIO):
            trainer.strategy.checkpoint_io = StateIO()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if trainer.global_step and trainer.is_global_zero and self.path.is_file():
            self.step = trainer.global_step
            self._keep()  # a kill may have come between the state and its other name

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        step = trainer.global_step
        due = step % self.every_n_steps == 0 or self._chosen(step)
        # the one before a skipped step is safer
        if step == trainer.max_steps or (due and not step_skipped(module)):
            self.write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write(trainer, unfinished=False)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint.update(self._addition)
        if self._loops is not None:
            checkpoint["loops"]["fit_loop"] = dict(self._loops)

    def write(
        self, trainer: Trainer, unfinished: bool = True, loops: Mapping[str, Any] | None = None
    ) -> None:
        """Writes the state as it is after the step just made; all processes call it together.

        Args:
            trainer: whose state it is.
            unfinished: whether something of this step is still to be done by who resumes it:
                measurements, pictures, a validation.
            loops: the state of the loops after the optimizer's step, where they have gone on since.
        """
        if unfinished and loops is None:
            log_step(trainer)
        self._addition = {UNFINISHED: {"epoch": trainer.current_epoch}} if unfinished else {}
        self._loops = loops
        io: Any = trainer.strategy.checkpoint_io
        with io.collecting_errors() as errors:
            if trainer.is_global_zero:
                errors.extend(_sync(trainer.loggers))
            trainer.save_checkpoint(self.path)  # every process takes part, the first one writes
        self._addition, self._loops = {}, None
        self.step = trainer.global_step
        self.error = errors[0] if errors else None
        if self.error is not None:
            rank_zero_warn(
                f"{self.path}: the state of step {self.step} cannot be written "
                f"({self.error.strerror}); what was there before stays"
            )
        elif trainer.is_global_zero:
            self._keep()

    def _chosen(self, step: int) -> bool:
        every = self.keep_every_n_steps
        return step in self.keep_steps or (every is not None and step % every == 0)

    def _keep(self) -> None:
        """Gives the new state a name of its own where it is kept, and removes those too many."""
        if self.keep_last > 1 or self._chosen(self.step):
            with suppress(OSError):  # a copy less, but a training that goes on
                _link(self.path, self.path.with_name(f"step_{self.step:08}.ckpt"))
        others: dict[int, Path] = {}
        for file in self.path.parent.glob("step_*.ckpt"):
            if match := re.fullmatch(r"step_(\d{8,})\.ckpt", file.name):
                others[int(match[1])] = file
        unchosen = sorted(step for step in others if not self._chosen(step))
        past = [step for step in unchosen if step <= self.step]
        keep = past[-self.keep_last :] if self.keep_last > 1 else []
        for step in set(unchosen) - set(keep):  # later ones are of a run that was given up
            others[step].unlink(missing_ok=True)


def _sync(loggers: Iterable[Logger]) -> list[OSError]:
    """Puts the loggers' rows on the disk, and says what went wrong."""
    try:
        for logger in loggers:
            getattr(logger, "sync", logger.save)()
    except OSError as error:
        return [error]
    return []


def _link(source: Path, target: Path) -> None:
    """Another name of a file, or a copy where the disk has no such thing."""
    with replacing(target) as part:
        part.unlink()
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
