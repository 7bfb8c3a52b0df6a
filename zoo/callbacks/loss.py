"""The training loss and its parts, averaged over the images between two rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from zoo.callbacks.after_step import AfterStep, Outputs, is_logging, log, step_skipped
from zoo.records import Batch
from zoo.system import shares
from zoo.system.processes import objects, total


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
        self._step, self._row = _Sums(), _Sums()  # of this step, and of those since the last row

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
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
        self._step = _Sums()
        if not is_logging(trainer):
            return
        means = self._row.means()
        self._row = _Sums()
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
        self._row = _Sums(shares.own(state_dict.get("pending", [])))


class _Sums:
    """Sums of numbers by name, each weighted by its number of images.

    Args:
        numbers: a sum and a number of images by name, to begin with.
    """

    def __init__(self, numbers: Mapping[str, Sequence[float]] | None = None) -> None:
        self._sums: dict[str, tuple[Tensor, int]] = {}  # and the numbers of images
        for name, (value, count) in (numbers or {}).items():
            self._sums[name] = torch.tensor(value, dtype=torch.float64), int(count)

    def numbers(self) -> dict[str, list[float]]:
        """What the next ones may begin with."""
        return {name: [value.item(), count] for name, (value, count) in self._sums.items()}

    def move(self, device: torch.device) -> None:
        """Moves the sums to where numbers will be added to them."""
        self._sums = {name: (v.to(device), count) for name, (v, count) in self._sums.items()}

    def add(self, means: Mapping[str, Tensor], count: int) -> None:
        for name, mean in means.items():
            self._add(name, mean.double() * count, count)

    def join(self, other: _Sums) -> None:
        for name, (value, count) in other._sums.items():
            self._add(name, value, count)

    def _add(self, name: str, value: Tensor, count: int) -> None:
        before, counted = self._sums.get(name, (0.0, 0))
        self._sums[name] = value + before, count + counted

    def means(self) -> dict[str, float]:
        """Of all processes, which have the same names, their losses made by the same code."""
        if not self._sums:
            return {}
        values = torch.stack([value for value, _ in self._sums.values()])
        counts = values.new_tensor([count for _, count in self._sums.values()])
        means = total(values) / total(counts)
        return dict(zip(self._sums, means.tolist(), strict=True))
