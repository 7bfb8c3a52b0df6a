"""What a training was, as its states and its model say: settings, changes, devices, time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning import LightningModule, Trainer

from zoo.callbacks.after_step import AfterStep
from zoo.training.run.resume import State
from zoo.training.run.settings import Difference


class Record(AfterStep):
    """Writes what shaped a training into each of its states, in plain values.

    Args:
        settings: that decide the result; see ``zoo.training.run.settings``.
        device: in words, of this part of the training.
        state: which this part resumes; None at step 0.
        changes: of the settings with this part.
        describe: called with all changes once nothing stands against the first step.

    Attributes:
        changes: since step 0, each with ``step``, ``key``, ``old`` and ``new``.
        devices: that made the steps, in their order: ``device``, ``processes``, ``steps`` and
            ``seconds``. Steps that a killed part lost with its last state are not among them.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        device: str,
        state: State | None = None,
        changes: Sequence[Difference] = (),
        describe: Callable[[Sequence[dict[str, Any]]], None] | None = None,
    ) -> None:
        step = 0 if state is None else state.step
        before: dict[str, Any] = {"changes": [], "devices": []} if state is None else state.run
        self.settings = dict(settings)
        self.changes: list[dict[str, Any]] = [
            *before["changes"],
            *({"step": step, **change._asdict()} for change in changes),
        ]
        self.devices: list[dict[str, Any]] = [dict(part) for part in before["devices"]]
        self._device, self._describe = device, describe
        self._begun = (step, time.monotonic())

    @property
    def seconds(self) -> float:
        """Wall time of the training loops, sample grids and states included."""
        return float(sum(part["seconds"] for part in self.devices))

    @property
    def device(self) -> str:
        """The devices that made the steps, each once, such as ``2 x NVIDIA H200``."""
        names = [
            part["device"] if part["processes"] == 1 else f"{part['processes']} x {part['device']}"
            for part in self.devices
        ]
        return ", ".join(dict.fromkeys(names))

    @property
    def changes_text(self) -> str | None:
        """The changes in words, or None where there was none."""
        texts = [
            f"{change['key']} {change['old']} -> {change['new']} at step {change['step']}"
            for change in self.changes
        ]
        return ", ".join(texts) or None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._begin()
        self._begun = (trainer.global_step, time.monotonic())

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin()  # a state of the last step was resumed, which skips the loop

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._count(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._count(trainer)
        checkpoint["run"] = {
            "settings": self.settings,
            "changes": [dict(change) for change in self.changes],
            "devices": [dict(part) for part in self.devices],
        }

    def _begin(self) -> None:
        describe, self._describe = self._describe, None
        if describe is not None:
            describe(self.changes)

    def _count(self, trainer: Trainer) -> None:
        """Adds the steps and the time since the last call to the device's."""
        step, begun = self._begun
        self._begun = (trainer.global_step, now := time.monotonic())
        who = {"device": self._device, "processes": trainer.world_size}
        last = self.devices[-1] if self.devices else None
        if last is None or any(last[key] != value for key, value in who.items()):
            last = {**who, "steps": 0, "seconds": 0.0}
            self.devices.append(last)
        last["steps"] += trainer.global_step - step
        last["seconds"] += now - begun
