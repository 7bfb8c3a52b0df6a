"""One over the deviation of the first batch's latents as their scale (latent diffusion)."""

from __future__ import annotations

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from zoo.draw import Draw
from zoo.trainable import processed_batches


class ScaleByStd(Callback):
    """Sets the first stage's scale at the start of a latent model's training (``scale_by_std``).

    One number for all channels, from the first process' share of the first batch, and no shift. A
    resumed training keeps the scale of its first step.

    Raises:
        ValueError: the model diffuses pixels.
    """

    @torch.no_grad()
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if processed_batches(trainer):
            return
        first_stage: Any = getattr(pl_module, "first_stage", None)
        if not hasattr(first_stage, "set_scale"):
            raise ValueError("scale_by_std sets the scale of latents, but this model has none")
        draw = Draw(getattr(pl_module, "training_seed", 0), range(len(batch)), "train/scale")
        moments = batch.moments if batch.images is None else first_stage.moments(batch.images)
        deviation = first_stage.posterior(moments, draw).float().std()
        first_stage.set_scale(0.0, 1 / trainer.strategy.broadcast(deviation.cpu()))
