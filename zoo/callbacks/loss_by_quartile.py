"""The loss by quartile of t: which noise levels are learned."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule, Trainer

from zoo.callbacks.after_step import AfterStep, Outputs, is_logging, log, step_skipped
from zoo.diffusion.time_sampler import QUARTILES, quartile
from zoo.records import Batch
from zoo.system import shares
from zoo.system.processes import objects, total


class LossByQuartile(AfterStep):
    """Logs ``train/loss_q1`` (nearly clean) to ``train/loss_q4`` (nearly noise).

    Reads "t" (B,) and "loss_per_image" (B,) from a training step's outputs and averages over all
    images of all processes between two rows, skipped steps left out; modules without them are
    passed over.
    """

    def __init__(self) -> None:
        self._step = torch.zeros(2, QUARTILES, dtype=torch.float64)  # losses, counts
        self._sums = torch.zeros_like(self._step)
        self._reads = False

    def after_batch(self, trainer: Trainer, module: Any, outputs: Outputs, batch: Batch) -> None:
        if "t" in outputs and "loss_per_image" in outputs:
            loss = outputs["loss_per_image"].detach().double()
            bins = quartile(outputs["t"], module.diffusion.schedule.end).to(loss.device)
            self._step, self._reads = self._step.to(loss.device), True
            self._step.index_add_(1, bins, torch.stack([loss, torch.ones_like(loss)]))

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        if not step_skipped(module):
            self._sums = self._sums.to(self._step.device).add_(self._step)
        self._step.zero_()
        if is_logging(trainer) and self._reads:
            losses, counts = total(self._sums).tolist()
            self._sums.zero_()
            means = enumerate(zip(losses, counts, strict=True), start=1)
            log(trainer, {f"train/loss_q{q}": loss / n for q, (loss, n) in means if n})

    def state_dict(self) -> dict[str, Any]:
        return {"pending": objects({"sums": self._sums.flatten().tolist()})}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        sums = shares.own(state_dict["pending"]).get("sums", [0.0] * self._sums.numel())
        self._sums = torch.tensor(sums, dtype=torch.float64).reshape(2, QUARTILES)
