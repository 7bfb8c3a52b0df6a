"""The training loss, averaged over the steps between two rows."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from zoo.callbacks.after_step import AfterStep, Outputs, is_logging, log
from zoo.records import Batch
from zoo.system import shares


class Loss(AfterStep):
    """Logs ``train/loss`` and stops a training whose loss is no longer a number.

    Attributes:
        latest: the last row's loss.
        history: (steps done, loss) of every row, resumed parts included.

    Raises:
        ValueError: the loss is NaN or infinite; no training state is written after that.
    """

    def __init__(self) -> None:
        self.latest = math.nan
        self.history: list[tuple[int, float]] = []
        self._sum: Tensor | None = None
        self._count = 0

    def after_batch(
        self, trainer: Trainer, module: LightningModule, outputs: Outputs, batch: Batch
    ) -> None:
        loss = outputs["loss"].detach().double()
        self._sum = loss if self._sum is None else self._sum.to(loss.device) + loss
        self._count += 1

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        if not is_logging(trainer) or self._sum is None:
            return
        self.latest = (self._sum / self._count).item()
        self._sum, self._count = None, 0
        if not math.isfinite(self.latest):
            raise ValueError(
                f"the loss is {self.latest} at step {trainer.global_step}: lower "
                "recipe.optimizer.lr, or train with trainer.precision=32-true"
            )
        self.history.append((trainer.global_step, self.latest))
        log(trainer, {"train/loss": self.latest})

    def curve(self, points: int = 100) -> list[tuple[int, float]]:
        """The history in at most ``points`` stretches: each one's last step and mean loss."""
        size = max(1, -(-len(self.history) // points))
        stretches = [self.history[i : i + size] for i in range(0, len(self.history), size)]
        return [(s[-1][0], float(f"{sum(x for _, x in s) / len(s):.5g}")) for s in stretches]

    def state_dict(self) -> dict[str, Any]:
        pending = [0.0 if self._sum is None else self._sum.item(), self._count]
        return {"history": list(self.history), "pending": shares.gather(pending)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = [(step, loss) for step, loss in state_dict["history"]]
        value, count = shares.own(state_dict.get("pending", [[0.0, 0]]))
        self._sum, self._count = torch.tensor(value, dtype=torch.float64), int(count)
