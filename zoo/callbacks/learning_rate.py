"""The learning rate as the warm-up and its schedule have it."""

from __future__ import annotations

from lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from zoo.callbacks.after_step import log


class LearningRate(Callback):
    """Logs ``train/learning_rate``, the one that the step was made with."""

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if (trainer.global_step + 1) % max(1, trainer.log_every_n_steps) == 0:
            rate = optimizer.param_groups[0]["lr"]
            log(trainer, {"train/learning_rate": rate}, step=trainer.global_step)
