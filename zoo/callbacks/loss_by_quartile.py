"""The loss by quartile of t: which noise levels are learned."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule, Trainer

from zoo.callbacks.after_step import AfterStep, Outputs, is_logging, log
from zoo.diffusion.time_sampler import QUARTILES, quartile
from zoo.records import Batch
from zoo.system import shares


class LossByQuartile(AfterStep):
    """Logs ``train/loss_q1`` (nearly clean) to ``train/loss_q4`` (nearly noise).

    Reads "t" (B,) and "loss_per_image" (B,) from a training step's outputs and averages over all
    images between two rows; modules without them are skipped.
    """

    def __init__(self) -> None:
        self._sums = torch.zeros(2, QUARTILES, dtype=torch.float64)  # losses, counts

    def after_batch(self, trainer: Trainer, module: Any, outputs: Outputs, batch: Batch) -> None:
        if "t" in outputs and "loss_per_image" in outputs:
            loss = outputs["loss_per_image"].detach().double()
            bins = quartile(outputs["t"], module.diffusion.schedule.end).to(loss.device)
            self._sums = self._sums.to(loss.device)
            self._sums.index_add_(1, bins, torch.stack([loss, torch.ones_like(loss)]))

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        if is_logging(trainer):
            losses, counts = self._sums.tolist()
            self._sums.zero_()
            means = enumerate(zip(losses, counts, strict=True), start=1)
            log(trainer, {f"train/loss_q{q}": loss / n for q, (loss, n) in means if n})

    def state_dict(self) -> dict[str, Any]:
        return {"pending": shares.gather(self._sums.flatten().tolist())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pending = torch.tensor(shares.own(state_dict["pending"]), dtype=torch.float64)
        self._sums = pending.reshape(2, QUARTILES)
