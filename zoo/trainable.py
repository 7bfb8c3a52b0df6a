"""The base of every LightningModule of the zoo: it trains by a recipe and saves itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from zoo import checkpoint
from zoo.draw import Draw
from zoo.first_stage import FirstStage
from zoo.part import Part
from zoo.performance.layout import ChannelsLast, arrange
from zoo.recipe import Recipe
from zoo.records import Batch

Draws = Callable[[str], Draw]
"""A purpose to the streams of a batch's images."""


class Trainable(Part, LightningModule):
    """A LightningModule that trains by a ``Recipe`` and saves itself as one safetensors file.

    ``save_hyperparameters`` is not called: module arguments would make the training checkpoint
    unreadable with ``weights_only=True``; the config is written by ``config_of`` instead.
    """

    not_saved: ClassVar[tuple[str, ...]] = ("recipe",)
    takes_first_stage: ClassVar[bool] = False
    """Whether a ``first_stage`` that the config does not name comes from autoencoder=FILE."""
    frozen_parts: ClassVar[tuple[str, ...]] = ()
    """Parts that are never trained: their dropout and norms stay in evaluation mode."""
    recipe: Recipe | None

    def __init__(self, recipe: Recipe | None = None) -> None:
        super().__init__()
        self.recipe = recipe

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for name in self.frozen_parts:
            if isinstance(part := getattr(self, name), nn.Module):
                part.eval()
        if mode and self.arranged is not None:  # as it was before it generated
            arrange(self, False, self.device)
            self.arranged = None
        return self

    def configure_optimizers(self) -> Any:
        return self._recipe().configure(p for p in self.parameters() if p.requires_grad)

    def configure_callbacks(self) -> list[Callback]:
        if self.recipe is None or self.recipe.ema is None:  # a loaded model may still be validated
            return []
        return [self.recipe.ema]

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips by norm, also for a fused optimizer in bf16.

        Lightning refuses to clip for optimizers that unscale gradients themselves, though without
        a scaler (fp16 only) there is nothing to unscale.
        """
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if scaled or not gradient_clip_val or gradient_clip_algorithm not in (None, "norm"):
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        else:
            clip_grad_norm_((p for p in self.parameters() if p.requires_grad), gradient_clip_val)

    @contextmanager
    def completed(self) -> Iterator[None]:
        """Within, what is measured with the weights is measured with the present ones."""
        yield

    def _recipe(self) -> Recipe:
        if self.recipe is None:
            raise ValueError(
                f"this {type(self).__name__} has no recipe to train by: pass recipe=zoo.Recipe(...)"
            )
        return self.recipe

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seeds torch's global stream, of which dropout draws its masks, for this batch.

        So they too depend on seed and batch alone: a resumed training repeats them bit for bit, and
        whatever else draws numbers between two batches changes nothing.
        """
        batches, _, rank = self._position()
        key = f"{self.training_seed}/train/global/{batches}/{rank}"
        digest = hashlib.blake2s(key.encode(), digest_size=4).digest()
        seed = int.from_bytes(digest, "little")
        torch.default_generator.manual_seed(seed)  # torch.manual_seed walks the stack: 5 ms
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def draw(self, size: int, purpose: str) -> Draw:
        """The streams of this training step: keyed by seed, step and position in the global batch.

        A run on two processes with half the batch each draws the numbers of one process with the
        whole batch.
        """
        batches, world, rank = self._position()
        first = (batches * world + rank) * size
        return Draw(self.training_seed, range(first, first + size), f"train/{purpose}")

    @staticmethod
    def validation_draws(size: int, batch_idx: int) -> Draws:
        """The streams of a validation step, which are the same in every validation."""
        indices = range(batch_idx * size, (batch_idx + 1) * size)
        return lambda purpose: Draw(0, indices, f"validation/{purpose}")

    def _log(self, values: dict[str, Tensor], batch_size: int, sync_dist: bool = False) -> None:
        """Logs where there is a trainer: a step may be called without one."""
        if self._trainer is not None:
            self.log_dict(values, batch_size=batch_size, sync_dist=sync_dist)

    def _position(self) -> tuple[int, int, int]:
        """Batches before this one, number of processes, rank of this one."""
        trainer = self._trainer
        if trainer is None:
            return 0, 1, 0
        # total_batch_idx is one too high after a resume from a file written in the middle of a step
        return processed_batches(trainer), trainer.world_size, trainer.global_rank

    channels_last: ChannelsLast = "auto"
    """The memory layout in which images are generated; see ``zoo.performance.layout``."""
    arranged: tuple[ChannelsLast, str] | None = None
    """The layout and the kind of device that the weights have been arranged for to generate."""

    training_seed: int = 0
    """The seed of the training draws; set by the entry point, never saved in the config."""

    origin: Mapping[str, Any] = MappingProxyType({})
    """The origin of weights that were not trained here; goes into a saved file's provenance."""

    def save(
        self, path: str | Path, provenance: dict[str, Any] | None = None, **options: Any
    ) -> Path:
        """Writes weights, config and provenance into one file; see ``zoo.checkpoint.save``."""
        return checkpoint.save(self, path, {**self.origin, **(provenance or {})}, **options)


def processed_batches(trainer: Trainer) -> int:
    """Training batches that are finished, those of the run that is resumed included.

    Not those that are "ready": a state that is written while a step runs (Ctrl-C) counts its batch
    as ready, but the resumed run must do it again.
    """
    total: Any = trainer.fit_loop.epoch_loop.batch_progress.total
    return total.processed


class Modal(Protocol):
    """An object with a training and an evaluation mode."""

    training: bool

    def train(self, mode: bool = True) -> object:
        """Training or evaluation mode."""


@contextmanager
def evaluation_mode(module: Modal) -> Iterator[None]:
    """Within, ``module`` is in evaluation mode; afterwards in the mode it was in."""
    was_training = module.training
    module.train(False)
    try:
        yield
    finally:
        module.train(was_training)


def latents(first_stage: FirstStage, batch: Batch, draws: Draws) -> Tensor:
    """x0 of a batch, float32: drawn from the first stage's posterior, without a gradient of it."""
    moments = batch.moments
    if moments is None:
        assert batch.images is not None
        with torch.no_grad():
            moments = first_stage.moments(batch.images)
    return first_stage.draw(moments, draws("posterior")).float()
