"""The learning rate, warm-up and schedule included."""

from __future__ import annotations

from lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from zoo.callbacks.after_step import is_logging, log


class LearningRate(Callback):
    """Logs ``train/learning_rate``, that of the step just made."""

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if is_logging(trainer, next_step=True):
            rate = optimizer.param_groups[0]["lr"]
            log(trainer, {"train/learning_rate": rate}, step=trainer.global_step)
