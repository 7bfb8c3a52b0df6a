"""The progress of a training, with its rate and the time left."""

from __future__ import annotations

from lightning import LightningModule, Trainer

from zoo.callbacks.after_step import AfterStep
from zoo.callbacks.loss import Loss
from zoo.system.progress import Meter


class Progress(AfterStep):
    """A bar over the training's steps, on the first process."""

    def __init__(self) -> None:
        self._meter: Meter | None = None
        self._loss: Loss | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._loss = next((c for c in trainer.callbacks if isinstance(c, Loss)), None)  # type: ignore[attr-defined]
        if trainer.is_global_zero:
            total = trainer.max_steps if trainer.max_steps > 0 else None
            name = f"training {type(pl_module).__name__}"
            self._meter = Meter(total, name, "steps", done=trainer.global_step).__enter__()

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        if self._meter is not None:
            if self._loss is not None and self._loss.latest == self._loss.latest:
                self._meter.note = f"loss {self._loss.latest:.4f}"
            self._meter.advance()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._meter is not None:
            self._meter.__exit__(None, None, None)
            self._meter = None
