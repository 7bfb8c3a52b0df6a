"""Snapshots of the averages, of which any length is rebuilt after the training."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from zoo.averages.length import PowerFunction, name_of
from zoo.averages.snapshots import check_training, remove_parts, snapshots, write
from zoo.callbacks.after_step import AfterStep, move_back
from zoo.callbacks.ema import EMA
from zoo.part import config_of
from zoo.system.files import size_text

Format = Literal["float16", "float32"]


class AverageSnapshots(AfterStep):
    """Writes the power-function averages every N steps and at the end, for ``zoo ema``.

    It does nothing where the recipe has no ``ema.sigma_rel``. A step's snapshot is written before
    its training state: a state that is there has all earlier snapshots. A resumed training removes
    those of later steps and writes them again, the same.

    Args:
        folder: where they go; one file a step.
        every_n_steps: steps between two snapshots.
        dtype: of the numbers in the files.

    Attributes:
        training: a key of the training's settings, which every snapshot has; None where there are
            no such averages.

    Raises:
        ValueError: an argument is impossible; at the start of a training also if the folder has
            snapshots of another one.
    """

    training: str | None = None

    def __init__(
        self, folder: str | Path, every_n_steps: int = 1000, dtype: Format = "float16"
    ) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps is positive, got {every_n_steps}")
        if dtype not in get_args(Format):
            raise ValueError(f"dtype is one of {', '.join(get_args(Format))}, got {dtype!r}")
        self.folder = Path(folder)
        self.every_n_steps = every_n_steps
        self.dtype: torch.dtype = getattr(torch, dtype)
        self._written_step = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        move_back(trainer, self)  # behind the averages, before the state

    def state_dict(self) -> dict[str, Any]:
        return {} if self.training is None else {"training": self.training}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.training = state_dict.get("training")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not _powers(pl_module):
            self.training = None
        elif self.training is None:
            self.training = training_key(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.training is not None and trainer.is_global_zero:
            self._clear(trainer.global_step, self.training)
            self._announce(trainer, pl_module)

    def _clear(self, step: int, training: str) -> None:
        """Leaves the snapshots that the training resumed at ``step`` would have by itself."""
        remove_parts(self.folder)
        every = snapshots(self.folder)
        check_training(every, training)
        for snapshot in every:
            if snapshot.step > step or not snapshot.regular:
                snapshot.path.unlink()

    def _announce(self, trainer: Trainer, module: LightningModule) -> None:
        """Says how much room the snapshots take."""
        numbers = sum(
            values.numel() for average in self._kept(module) for values in average.values()
        )
        size = numbers * self.dtype.itemsize
        text = f"{size_text(size)} every {self.every_n_steps} steps"
        if trainer.max_steps > 0:
            count = math.ceil(trainer.max_steps / self.every_n_steps)
            text += f", {size_text(count * size)} for {trainer.max_steps}"
        print(f"{self.folder}: snapshots of the averages, {text}", flush=True)

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        regular = trainer.global_step % self.every_n_steps == 0
        if regular or trainer.global_step == trainer.max_steps:
            self.write(trainer, module, regular)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._written_step != trainer.global_step:  # ended by time or by another callback
            self.write(trainer, pl_module, regular=False)

    def write(self, trainer: Trainer, module: LightningModule, regular: bool) -> None:
        """Writes the averages as they are after the step just made."""
        if self.training is None:
            return
        self._written_step = trainer.global_step
        averages = [
            {name: _whole(values) for name, values in average.items()}
            for average in self._kept(module)
        ]  # by all processes together, if each has a share
        if trainer.is_global_zero:
            lengths = [power.sigma_rel for power in _powers(module)]
            by_length = dict(zip(lengths, averages, strict=True))
            step = trainer.global_step
            write(self.folder, step, by_length, self.dtype, self.training, regular)

    @staticmethod
    def _kept(module: Any) -> list[dict[str, Tensor]]:
        """The power-function averages, without parameters that a saved model does not have."""
        left_out = tuple(f"{name}." for name in getattr(module, "not_saved", ()))
        every = [module.recipe.ema.every[name_of(power.sigma_rel)] for power in _powers(module)]
        return [{k: v for k, v in each.items() if not k.startswith(left_out)} for each in every]


def training_key(trainer: Trainer, module: Any) -> str:
    """A digest of what decides a training's weights, the same when it is repeated."""
    data, recipe = getattr(trainer, "datamodule", None), module.recipe
    optimizers = [[type(each).__name__, each.defaults] for each in trainer.optimizers]
    schedule = recipe.lr_scheduler
    facts = {
        "model": config_of(module),
        "optimizers": optimizers,
        "lr_scheduler": [getattr(schedule, "keywords", None), _name(schedule)],
        "averages": [[each.facts, name] for name, each in recipe.ema.lengths.items()],
        "data": [getattr(data, key, None) for key in ("name", "batch_size", "condition", "seed")],
        "images": len(data.train) if data is not None and hasattr(data, "train") else None,
        "trainer": [
            trainer.accumulate_grad_batches, trainer.gradient_clip_val, str(trainer.precision),
        ],
        "seed": module.training_seed,
    }  # fmt: skip
    return hashlib.blake2b(json.dumps(facts, default=str).encode(), digest_size=16).hexdigest()


def _name(function: Any) -> str:
    return getattr(getattr(function, "func", function), "__name__", type(function).__name__)


def _powers(module: Any) -> list[PowerFunction]:
    ema = getattr(getattr(module, "recipe", None), "ema", None)
    every = ema.lengths.values() if isinstance(ema, EMA) else ()
    return [each for each in every if isinstance(each, PowerFunction)]


def _whole(values: Tensor) -> Tensor:
    """A tensor of which this process may hold a share only."""
    full_tensor = getattr(values, "full_tensor", None)
    return values if full_tensor is None else full_tensor()
