"""The end of a training: a last validation, then the model's file, before anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer

from zoo.callbacks import averaged
from zoo.callbacks.after_step import AfterStep
from zoo.logger import wandb
from zoo.training.unfinished_step import UnfinishedStep


class Ending(AfterStep):
    """Validates after the last step and saves the model as soon as it is trained.

    It comes first among the callbacks, so that the last pictures are drawn when the file is there.

    Args:
        path: the model's file: averaged weights where the recipe averages.
        facts: gives the provenance, when the training is over.

    Attributes:
        saved: whether the file has been written.
        rest: the callback that makes what a resumed state lacks of its step.
    """

    def __init__(self, path: Path, facts: Callable[[Trainer], dict[str, Any]]) -> None:
        self.path, self.facts = path, facts
        self.saved = False
        self.rest = UnfinishedStep()
        self._ended = False

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # it stops anyway, but only so it is validated before

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        if not self._ended:  # a state of the last step was resumed, which skips the loop's hooks
            module.to(trainer.strategy.root_device)
            self.rest.finish(trainer, module)
            module.on_train_end()
        if not trainer.is_global_zero:
            return
        facts = self.facts(trainer)
        with averaged(module):
            module.save(self.path, facts)
        self.saved = True
        print(f"saved {self.path}", flush=True)
        wandb.log_model(trainer.loggers, self.path, facts)
