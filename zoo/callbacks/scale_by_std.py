"""One over the deviation of latents as their scale: of the first batch's, or of the whole set's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.data.stream import to_float
from zoo.draw import Draw
from zoo.first_stage.statistics import latent_statistics, latent_sums
from zoo.trainable import processed_batches

_PER_BATCH = 32  # images encoded at once


class LatentScale(Callback):
    """The base of what sets the first stage's scale at the start of a latent model's training.

    A resumed training keeps the scale of its first step.

    Raises:
        ValueError: the model diffuses pixels.
    """

    source: ClassVar[str]
    """What the scale is measured on, as a saved file records it."""

    @torch.no_grad()
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if processed_batches(trainer):
            return
        first_stage: Any = getattr(pl_module, "first_stage", None)
        if not hasattr(first_stage, "set_scale"):
            raise ValueError("the scale of latents is to be set, but this model has none")
        self.set_scale(trainer, pl_module, first_stage, batch)

    def set_scale(self, trainer: Trainer, module: Any, first_stage: Any, batch: Any) -> None:
        """Sets the scale of ``first_stage``; ``batch`` is this process' share of the first one."""
        raise NotImplementedError


class ScaleByStd(LatentScale):
    """The published recipe (latent diffusion's ``scale_by_std``): of the first batch's latents.

    One number for all channels, and no shift. The batch is that of all processes together.
    """

    source = "first batch"

    def set_scale(self, trainer: Trainer, module: Any, first_stage: Any, batch: Any) -> None:
        first = trainer.global_rank * len(batch)
        indices = range(first, first + len(batch))
        draw = Draw(getattr(module, "training_seed", 0), indices, "train/scale")
        moments = batch.moments if batch.images is None else first_stage.moments(batch.images)
        latents = first_stage.posterior(moments, draw).cpu().double()
        sums = torch.stack([torch.tensor(latents.numel()), latents.sum(), latents.square().sum()])
        count, total, squares = _over_processes(trainer, sums)
        first_stage.set_scale(0.0, ((count - 1) / (squares - total.square() / count)).sqrt())


class ScaleByTrainSet(LatentScale):
    """Of the latents of the whole train set, mirror images included where training mirrors.

    In float64, with the variance of every latent's own posterior: of all draws, exactly. From the
    latents that are kept, where they are (``latent_cache``); else every image is encoded once, each
    process taking its share.

    Args:
        per_channel: a shift and a scale for each channel, so that each has mean 0 and deviation 1,
            in place of one scale for all and no shift.
    """

    source = "train set"

    def __init__(self, per_channel: bool = False) -> None:
        self.per_channel = per_channel

    def set_scale(self, trainer: Trainer, module: Any, first_stage: Any, batch: Any) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        facts = getattr(getattr(getattr(data, "moments", None), "entry", None), "facts", {})
        if "deviation" in facts:
            mean, deviation = (
                torch.tensor(facts[name], dtype=torch.float64) for name in ("mean", "deviation")
            )
        else:
            batches = _images(data, trainer.global_rank, trainer.world_size)
            moments = (first_stage.moments(images.to(module.device)) for images in batches)
            sums = _over_processes(trainer, latent_sums(first_stage, moments))
            mean, deviation = latent_statistics(sums)
        if self.per_channel:
            first_stage.set_scale(mean, 1 / deviation)
            return
        square = (deviation.square() + mean.square()).mean() - mean.mean().square()
        first_stage.set_scale(0.0, 1 / square.sqrt())


def _images(data: Any, rank: int, world_size: int) -> Iterator[Tensor]:
    """A process' share of the train set in [-1, 1], and its mirror images."""
    if data is None:
        raise ValueError("ScaleByTrainSet measures a data module's train set: there is none")
    share = torch.arange(len(data.train)).tensor_split(world_size)[rank]
    for indices in share.split(_PER_BATCH):
        images = to_float(data.train.gather(indices))
        yield images
        if data.flip:
            yield images.flip(-1)


def _over_processes(trainer: Trainer, sums: Tensor) -> Tensor:
    """The sums of all processes, float64 on the CPU."""
    if trainer.world_size == 1:
        return sums
    total: Any = trainer.strategy.reduce(sums.to(trainer.strategy.root_device), reduce_op="sum")
    return total.cpu()
