"""Curves of the optimizer: the gradient's norm and the learning rate."""

from __future__ import annotations

from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from zoo.callbacks.after_step import AfterStep, is_logging, log, step_skipped


class GradientNorm(AfterStep):
    """Logs ``train/gradient_norm``: the L2 norm over what the optimizer trains, before clipping.

    It is that of the gradient that the step is made with: of all processes and accumulated batches.
    A second optimizer, a discriminator's, has ``train/gradient_norm_2``.
    """

    def __init__(self) -> None:
        self._norms: dict[str, Tensor] = {}

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: Any, optimizer: Optimizer
    ) -> None:
        number = next(i for i, o in enumerate(trainer.optimizers, start=1) if o is optimizer)
        name = "train/gradient_norm" + (f"_{number}" if number > 1 else "")
        self._norms[name] = pl_module.gradient_norm(optimizer)

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        if is_logging(trainer) and not step_skipped(module):
            log(trainer, {name: norm.item() for name, norm in self._norms.items()})
        self._norms.clear()


class LearningRate(Callback):
    """Logs ``train/learning_rate``, warm-up and schedule included; of the first optimizer."""

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        # before its step is counted
        if optimizer is trainer.optimizers[0] and is_logging(trainer, next_step=True):
            rate = optimizer.param_groups[0]["lr"]
            log(trainer, {"train/learning_rate": rate}, step=trainer.global_step)
