"""Curves of the optimizer: the gradient's norm and the learning rate."""

from __future__ import annotations

import torch
from lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from zoo.callbacks.after_step import is_logging, log


class GradientNorm(Callback):
    """Logs ``train/gradient_norm``: the L2 norm over all trained parameters, before clipping."""

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        # the hook runs before clipping, and before its step is counted
        if is_logging(trainer, next_step=True):
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients).item()
            log(trainer, {"train/gradient_norm": norm}, step=trainer.global_step)


class LearningRate(Callback):
    """Logs ``train/learning_rate``, warm-up and schedule included."""

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if is_logging(trainer, next_step=True):
            rate = optimizer.param_groups[0]["lr"]
            log(trainer, {"train/learning_rate": rate}, step=trainer.global_step)
