"""The training loss and its parts, averaged over the images between two rows."""

from __future__ import annotations

import math
from typing import Any

from lightning import LightningModule, Trainer

from zoo.callbacks.after_step import AfterStep, Outputs, is_logging, log, step_skipped
from zoo.records import Batch
from zoo.system import shares
from zoo.system.means import Means
from zoo.system.processes import objects


class Loss(AfterStep):
    """Logs ``train/loss``, and ``train/NAME`` for each of a training step's "figures".

    Each is the mean over the images of all processes and of all accumulated batches since the last
    row; those of skipped steps are left out.

    Attributes:
        latest: the last row's loss.
        history: (steps done, loss) of every row, resumed parts included.
    """

    def __init__(self) -> None:
        self.latest = math.nan
        self.history: list[tuple[int, float]] = []
        self._step, self._row = Means(), Means()  # of this step, and of those since the last row

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self._row.numbers():  # of a resumed run
            self._row.move(pl_module.device)

    def after_batch(
        self, trainer: Trainer, module: LightningModule, outputs: Outputs, batch: Batch
    ) -> None:
        # Lightning hands on the loss that it differentiates: a share of the mean
        parts = trainer.accumulate_grad_batches if module.automatic_optimization else 1
        values = {"loss": outputs["loss"] * parts, **outputs.get("figures", {})}
        self._step.add({name: value.detach() for name, value in values.items()}, len(batch))

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        if not step_skipped(module):
            self._row.join(self._step)
        self._step = Means()
        if not is_logging(trainer):
            return
        means = self._row.of_all_processes()
        self._row = Means()
        if means:  # not where every step was skipped
            self.latest = means["loss"]
            self.history.append((trainer.global_step, self.latest))
            log(trainer, {f"train/{name}": value for name, value in means.items()})

    def curve(self, points: int = 100) -> list[tuple[int, float]]:
        """The history in at most ``points`` stretches: each one's last step and mean loss."""
        size = max(1, -(-len(self.history) // points))
        stretches = [self.history[i : i + size] for i in range(0, len(self.history), size)]
        return [(s[-1][0], float(f"{sum(x for _, x in s) / len(s):.5g}")) for s in stretches]

    def state_dict(self) -> dict[str, Any]:
        return {"history": list(self.history), "pending": objects(self._row.numbers())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = [(step, loss) for step, loss in state_dict["history"]]
        self._row = Means(shares.own(state_dict.get("pending", [])))
