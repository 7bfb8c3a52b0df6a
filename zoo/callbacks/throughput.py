"""Images per second, images seen and the duration of a training."""

from __future__ import annotations

import time
from typing import Any

from lightning import LightningModule, Trainer

from zoo.callbacks.after_step import AfterStep, Outputs, is_logging, log
from zoo.records import Batch


class Throughput(AfterStep):
    """Logs ``train/images_per_second`` and ``train/images_seen``, over all processes.

    Attributes:
        images_seen: since the training began, resumed parts included.
        seconds: wall time of the training loop, sample grids and checkpoints included.
    """

    def __init__(self) -> None:
        self.images_seen = 0
        self.seconds = 0.0
        self._mark = 0.0
        self._logged = (0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._mark = time.monotonic()
        self._logged = (self.images_seen, self.seconds)

    def after_batch(
        self, trainer: Trainer, module: LightningModule, outputs: Outputs, batch: Batch
    ) -> None:
        self.images_seen += len(batch) * trainer.world_size
        self._count_time()

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        if is_logging(trainer):
            images, seconds = self._logged
            rate = (self.images_seen - images) / max(self.seconds - seconds, 1e-9)
            self._logged = (self.images_seen, self.seconds)
            total = float(self.images_seen)
            log(trainer, {"train/images_per_second": rate, "train/images_seen": total})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._count_time()

    def state_dict(self) -> dict[str, Any]:
        return {"images_seen": self.images_seen, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.images_seen, self.seconds = state_dict["images_seen"], state_dict["seconds"]

    def _count_time(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._mark
        self._mark = now
