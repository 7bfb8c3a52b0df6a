"""The settings of a training: never part of a saved model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lightning import Callback
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from zoo.diffusion.time_sampler import TimeSampler, Uniform


class Recipe:
    """Optimizer, learning-rate schedule, weight average and time sampler of one training.

    Args:
        optimizer: makes the optimizer from the trained parameters (a hydra partial).
        lr_scheduler: makes a per-step schedule from the optimizer, or None for a constant rate.
        ema: the callback that averages the weights (``zoo.callbacks.EMA``), or None.
        time_sampler: which t a training step looks at; ``Uniform()`` when None.
    """

    def __init__(
        self,
        optimizer: Callable[[Iterable[Tensor]], Optimizer],
        lr_scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        ema: Callback | None = None,
        time_sampler: TimeSampler | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.ema = ema
        self.time_sampler = time_sampler if time_sampler is not None else Uniform()

    def configure(self, parameters: Iterable[Tensor]) -> Any:
        """The result of ``LightningModule.configure_optimizers`` for these parameters."""
        optimizer = self.optimizer(parameters)
        if self.lr_scheduler is None:
            return optimizer
        schedule = {"scheduler": self.lr_scheduler(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def warmup(optimizer: Optimizer, num_steps: int) -> LambdaLR:
    """Linear warm-up over ``num_steps`` steps, then constant (DDPM's released code)."""
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, num_steps)))
