"""Images per second, images seen, duration, and what a training uses of the machine."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning import LightningModule, Trainer

from zoo.callbacks.after_step import AfterStep, Outputs, is_logging, log
from zoo.models.training_flops import training_flops
from zoo.performance.flops import measured_peak, parameters
from zoo.performance.usage import Energy, peak_memory
from zoo.records import Batch

OF_THE_MACHINE = (
    "train/images_per_second", "train/peak_memory_gib", "train/flop_utilisation",
    "train/energy_joules",
)  # fmt: skip
"""The curves that differ between two runs of one training."""


class Throughput(AfterStep):
    """Logs what a training costs, over all processes and resumed parts.

    ``train/images_per_second``, ``train/images_seen``, ``train/peak_memory_gib`` (of the largest
    process; on a GPU its allocations), ``train/flop_utilisation`` (the network's operations as a
    share of what the devices do in a large matrix product of the same number format, which is
    measured when the training begins) and, where the device counts it, ``train/energy_joules``.

    Attributes:
        images_seen: since the training began, resumed parts included.
        seconds: wall time of the training loop, sample grids and checkpoints included.
        energy: joules of all devices, or None where no counter is readable.
        memory: bytes of the largest process.
        flops: operations per image, see ``zoo.models.training_flops``; None where not counted.
        peak: operations per second that all devices reach.
    """

    def __init__(self) -> None:
        self.images_seen = 0
        self.seconds = 0.0
        self.energy: float | None = None
        self.memory = 0
        self.flops: int | None = None
        self.peak = 0.0
        self._mark = 0.0
        self._logged = (0, 0.0)
        self._counter: Energy | None = None
        self._energy_before = 0.0
        self._dtype = torch.float32

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":  # before the weights are spread over processes
            self._count(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.flops is None and trainer.world_size == 1:  # a network that was built meanwhile
            self._count(trainer, pl_module)
        if self.flops is not None:
            self._dtype = _dtype(trainer)
            peak = measured_peak(pl_module.device, self._dtype)
            self.peak = _reduced(trainer, pl_module, peak, "sum")
        self._counter = Energy(pl_module.device)
        self._energy_before = self.energy or 0.0
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
            self._look(trainer, module)
            row = {
                "train/images_per_second": rate,
                "train/images_seen": float(self.images_seen),
                "train/peak_memory_gib": self.memory / 2**30,
            }
            if (utilisation := self._utilisation(rate)) is not None:
                row["train/flop_utilisation"] = utilisation
            if self.energy is not None:
                row["train/energy_joules"] = self.energy
            log(trainer, row)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._count_time()
        self._look(trainer, pl_module)

    def facts(self, module: LightningModule) -> dict[str, Any]:
        """The cost of the whole training in plain values, for the saved model's provenance."""
        rate = self.images_seen / self.seconds if self.seconds else None
        source = self._counter.source if self._counter else None
        number_format = str(self._dtype).removeprefix("torch.")
        return {
            "parameters": parameters(module),
            "flops_per_image": self.flops,
            "images_per_second": rate and round(rate, 3),
            "flop_utilisation": None if rate is None else self._utilisation(rate),
            "peak_flops_per_second": self.peak or None,
            "peak_is": f"measured: a large product in {number_format}" if self.peak else None,
            "peak_memory_bytes": self.memory or None,
            "energy_joules": self.energy,
            "energy_by": source,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "images_seen": self.images_seen,
            "seconds": self.seconds,
            "energy": self.energy,
            "memory": self.memory,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.images_seen, self.seconds = state_dict["images_seen"], state_dict["seconds"]
        self.energy, self.memory = state_dict.get("energy"), state_dict.get("memory", 0)

    def _count(self, trainer: Trainer, module: Any) -> None:
        data = getattr(trainer, "datamodule", None)
        self.flops = None if data is None else training_flops(module, data)

    def _count_time(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._mark
        self._mark = now

    def _look(self, trainer: Trainer, module: LightningModule) -> None:
        """Reads memory and energy on all processes at once."""
        memory = _reduced(trainer, module, peak_memory(module.device), "max")
        self.memory = max(self.memory, int(memory))
        joules = self._counter.joules() if self._counter is not None else None
        if joules is not None:  # a machine's counter is read by one of its processes
            own = joules if module.device.type == "cuda" or trainer.local_rank == 0 else 0.0
            self.energy = self._energy_before + _reduced(trainer, module, own, "sum")

    def _utilisation(self, rate: float) -> float | None:
        return rate * self.flops / self.peak if self.flops and self.peak else None


def _reduced(trainer: Trainer, module: LightningModule, value: float, how: str) -> float:
    """The sum or the maximum over all processes."""
    if trainer.world_size == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64, device=module.device)
    total: Any = trainer.strategy.reduce(tensor, reduce_op=how)
    return float(total)


def _dtype(trainer: Trainer) -> torch.dtype:
    """The number format that products are computed in."""
    name = str(trainer.precision)
    if name.startswith("bf16"):
        return torch.bfloat16
    return {"16": torch.float16, "64": torch.float64}.get(name[:2], torch.float32)
