"""A picture of the model's images, from the same noise every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from zoo.callbacks.after_step import AfterStep, move_back
from zoo.callbacks.ema import averaged
from zoo.conditioner import is_conditional
from zoo.data import ImageSet
from zoo.data.stream import to_float
from zoo.generation import BrokenImages, sampling, to_uint8
from zoo.models.autoencoder import Autoencoder
from zoo.records import Raw
from zoo.sampler import Sampler
from zoo.system.picture import image_grid, save_picture
from zoo.trainable import evaluation_mode


class SampleGrid(AfterStep):
    """Every N steps and at the end: a grid of images with the averaged weights.

    Diffusion models generate from fixed noise and fixed conditions (classes in turn, or the test
    split's first captions); an autoencoder shows test images above their reconstructions; other
    modules are skipped. Files are ``<folder>/step_00001000_DPMSolver20.png``, after the sampler and
    its steps, or ``step_00001000.png`` of reconstructions.

    The grid of a step is drawn when its training state is written, and the last one when the
    training is over, so that Ctrl-C loses neither.

    Args:
        folder: where the pictures go.
        every_n_steps: steps between two grids.
        num_images: images in a grid.
        seed: of the noise.
        sampler: a quick one, in place of the model's own; the model's own when None.

    Raises:
        ValueError: an argument is impossible; at the start of the training also if the sampler does
            not suit the model's schedule.
    """

    turn = 4

    def __init__(
        self,
        folder: str | Path,
        every_n_steps: int = 2000,
        num_images: int = 64,
        seed: int = 0,
        sampler: Sampler | None = None,
    ) -> None:
        if every_n_steps < 1 or num_images < 1:
            raise ValueError(
                f"every_n_steps and num_images are positive, got {every_n_steps}, {num_images}"
            )
        self.folder = Path(folder)
        self.every_n_steps = every_n_steps
        self.num_images = num_images
        self.seed = seed
        self.sampler = sampler
        self._grid_step = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        move_back(trainer, self)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        if self.sampler is not None and hasattr(module, "generate"):
            self.sampler.levels(module.diffusion.schedule)  # what it refuses is refused now

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        last = trainer.global_step == trainer.max_steps
        if not last and trainer.global_step % self.every_n_steps == 0:
            self.draw(trainer, module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # not on_train_end: there an autoencoder still measures the scale of its latents
        if self._grid_step != trainer.global_step:
            device = pl_module.device
            pl_module.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
            self.draw(trainer, pl_module)
            pl_module.to(device)

    def draw(self, trainer: Trainer, module: LightningModule) -> None:
        """Makes the grid of this step, writes it and hands it to the trackers."""
        if not trainer.is_global_zero:
            return
        self._grid_step = trainer.global_step
        try:
            with averaged(module), trainer.precision_plugin.forward_context():
                grid = self._grid(module, getattr(trainer, "datamodule", None))
        except BrokenImages as error:  # a picture is no reason to end a training
            rank_zero_warn(f"no grid of step {trainer.global_step}: {error}")
            return
        if grid is None:
            return
        name = f"step_{trainer.global_step:08}{self._suffix(module)}.png"
        _track(trainer, grid, save_picture(grid, self.folder / name))

    def _suffix(self, module: Any) -> str:
        if not hasattr(module, "generate"):
            return ""
        sampler = self.sampler if self.sampler is not None else module.sampler
        return f"_{type(sampler).__name__}{sampler.num_steps}"

    def _grid(self, module: Any, data: Any) -> Tensor | None:
        if hasattr(module, "generate"):
            condition = fixed_condition(module, data, self.num_images)
            rows = max(1, min(self.num_images, getattr(data, "batch_size", self.num_images)))
            with sampling(module, self.num_images, rows, self.sampler) as on_step:
                images = module.generate(
                    self.num_images,
                    condition,
                    self.sampler,
                    seed=self.seed,
                    batch_size=rows,
                    on_step=on_step,
                )
            return image_grid(images, columns=_columns(self.num_images, data))
        if isinstance(module, Autoencoder) and data is not None:
            return _reconstructions(module, data.test, self.num_images)
        return None


def fixed_condition(module: Any, data: object, num_images: int) -> Raw:
    """A grid's conditions: classes in turn, the first captions, or None without conditions."""
    if getattr(module.conditioner, "num_classes", None) is not None:
        return torch.arange(num_images) % module.conditioner.num_classes
    captions = getattr(getattr(data, "test", None), "captions", None)
    if (
        is_conditional(module.conditioner)
        and captions
        and getattr(data, "condition", None) == "caption"
    ):
        return [captions[index % len(captions)] for index in range(num_images)]
    return None


def _columns(num_images: int, data: object) -> int | None:
    """A column per class where the classes fill whole rows."""
    classes = getattr(data, "num_classes", None)
    return classes if classes and classes <= num_images and classes <= 20 else None


def _reconstructions(module: Autoencoder, images: ImageSet, num_images: int) -> Tensor:
    count = min(num_images // 2 or 1, len(images))
    originals = images.gather(torch.arange(count))
    with torch.inference_mode(), evaluation_mode(module):
        copies = to_uint8(module.reconstruct(to_float(originals).to(module.device))).cpu()
    columns = min(16, count)
    bands = zip(originals.split(columns), copies.split(columns), strict=True)
    return image_grid(torch.cat([row for band in bands for row in band]), columns=columns)


def _track(trainer: Trainer, grid: Tensor, path: Path) -> None:
    step = trainer.global_step - 1  # as every curve counts: the row of the step just made
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image("samples", [str(path)], step=step, caption=[path.stem])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image("samples", grid.numpy(), step)
