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
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from zoo import checkpoint
from zoo.draw import Draw
from zoo.first_stage import FirstStage
from zoo.layers.dropout import Dropout, seeds, set_seeds
from zoo.part import Part
from zoo.performance.layout import ChannelsLast, arrange
from zoo.recipe import Recipe
from zoo.records import Batch
from zoo.system.finite import NotFinite, check_state, first_not_finite
from zoo.system.group.means import Means
from zoo.system.group.processes import whole

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
    step_skipped: bool
    """Whether the optimizer step just made changed nothing, for something was not finite."""

    def __init__(self, recipe: Recipe | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        self.step_skipped = False
        self._dropouts: list[Dropout] = []
        self._gradient_norms: dict[int, Tensor] = {}  # of this step, by optimizer
        self._validated = Means()

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
            norm = self.gradient_norm(optimizer)
            clip_grads_with_norm_(_parameters(optimizer), gradient_clip_val, norm)

    def gradient_norm(self, optimizer: Optimizer) -> Tensor:
        """L2 norm of the gradients of what ``optimizer`` trains, before they are clipped: a number.

        Computed once in a step; of accumulated gradients it is that of their mean.
        """
        norm = self._gradient_norms.get(id(optimizer))
        if norm is None:
            gradients = [p.grad for p in _parameters(optimizer) if p.grad is not None]
            norm = whole(get_total_norm(gradients))
            self._gradient_norms[id(optimizer)] = norm
        return norm

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a state with NaN or infinity in it; raises NotFinite on all processes alike."""
        check_state(checkpoint, self.trainer)

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

    def on_train_start(self) -> None:
        self._dropouts = [m for m in self.modules() if isinstance(m, Dropout) and m.p > 0]

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seeds the dropout of each image, and torch's global stream for this batch and process.

        So both depend on seed and batch alone: a resumed training repeats them bit for bit, and
        whatever else draws numbers between two batches changes nothing. The zoo's own parts draw
        nothing from the global stream, which differs between processes.
        """
        self._gradient_norms.clear()
        if self._dropouts:
            first = self._first_position(len(batch))
            new = seeds(self.training_seed, range(first, first + len(batch)))
            set_seeds(self._dropouts, new.to(self.device))
        batches, _, rank = self._position()
        key = f"{self.training_seed}/train/global/{batches}/{rank}"
        digest = hashlib.blake2s(key.encode(), digest_size=4).digest()
        seed = int.from_bytes(digest, "little")
        torch.default_generator.manual_seed(seed)  # torch.manual_seed walks the stack: 5 ms
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._dropouts:
            set_seeds(self._dropouts, None)

    def draw(self, size: int, purpose: str) -> Draw:
        """The streams of this training step, keyed by seed and number of images seen before each.

        So a batch on one process, the same shared between several, and the same accumulated from
        smaller ones draw the same numbers.
        """
        first = self._first_position(size)
        return Draw(self.training_seed, range(first, first + size), f"train/{purpose}")

    def _first_position(self, size: int) -> int:
        batches, world, rank = self._position()
        return (batches * world + rank) * size

    @staticmethod
    def validation_draws(batch: Batch, batch_idx: int) -> Draws:
        """The streams of a validation step, the same in every validation on any processes.

        They are those of the images' places in the split, or in equal batches where a batch does
        not say which images it has.
        """
        first = batch_idx * len(batch)
        known = batch.indices is not None
        indices = batch.indices.tolist() if known else range(first, first + len(batch))  # type: ignore[union-attr]
        return lambda purpose: Draw(0, indices, f"validation/{purpose}")

    def log_validation(self, means: dict[str, Tensor], size: int) -> None:
        """Logs means over ``size`` images, weighted by their number over batches and processes.

        A process that has none of a batch's images calls it too: all reduce the same names.
        Lightning would round the mean number of images of a process to an integer.
        """
        self._validated.add(means, size)

    def on_validation_epoch_end(self) -> None:
        means = self._validated.of_all_processes()
        self._validated.clear()
        # as all curves count: Lightning's own count is off after some resumptions
        means["step"] = float(max(0, self.trainer.global_step - 1))
        self.log_dict(means, batch_size=1, sync_dist=True)  # which are the same already

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
        """Writes weights, config and provenance into one file; see ``zoo.checkpoint.save``.

        Raises:
            NotFinite: a weight or a buffer is NaN or infinite.
        """
        if name := first_not_finite(self.state_dict()):
            raise NotFinite(f"{path} is not written: {name} is not finite")
        return checkpoint.save(self, path, {**self.origin, **(provenance or {})}, **options)


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


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
