"""The end of a training: a last validation, then the model's file, before anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer

from zoo.callbacks import EMA, averaged
from zoo.callbacks.after_step import AfterStep
from zoo.checkpoint.name import average_name
from zoo.logger import wandb
from zoo.training.unfinished_step import UnfinishedStep


class Ending(AfterStep):
    """Validates after the last step and saves the model as soon as it is trained.

    Averages of other lengths than the main one are saved beside it.

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
        self._save_others(trainer, module, facts)
        wandb.log_model(trainer.loggers, self.path, facts)

    def _save_others(self, trainer: Trainer, module: Any, facts: dict[str, Any]) -> None:
        """Saves the averages that are not the main one, each as a model of its own."""
        ema = module.recipe.ema
        if not isinstance(ema, EMA) or not ema.averages:
            return
        device = module.device
        for name, length in ema.lengths.items():
            if name != ema.main:
                module.to(trainer.strategy.root_device)  # some measure their latents again
                with ema.applied(module, name), module.completed():
                    path = self.path.with_name(average_name(name))
                    module.save(path, {**facts, "average": length.facts})
                print(f"saved {path}", flush=True)
        module.to(device)
