"""Steps whose loss or gradient is not finite are skipped, and counted, up to a limit."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from zoo.callbacks.after_step import AfterStep, Outputs, is_logging, log, move_back
from zoo.callbacks.culprit import Culprit, in_words
from zoo.records import Batch
from zoo.system.finite import NotFinite, first_not_finite
from zoo.system.group.processes import total, whole


class FiniteGuard(AfterStep):
    """Skips a step whose loss or gradient is NaN or infinite on any process, and counts it.

    A skipped step is a step: the position in the data, the number of steps and the schedule of the
    rate go on. Weights, the optimizer's moments, averages and running statistics stay as they were,
    and nothing of it enters a mean. All processes decide together. Too many skipped steps end the
    training, and so do at once a rate or a weight that is not finite, which no skipping cures; the
    last state on disk stays as it is.

    A gradient that overflows under a loss scale (16-mixed) is the scaler's business, not counted.

    Args:
        max_in_a_row: steps skipped one after another before the training ends.
        max_total: steps skipped in the whole training before it ends; None for any number.

    Attributes:
        skipped: steps skipped so far, resumed parts included: ``train/skipped_steps``.

    Raises:
        ValueError: a limit is negative.
        NotFinite: ending the training: step, tensor, images, remedy, and the last state.
    """

    turn = -1

    def __init__(self, max_in_a_row: int = 10, max_total: int | None = 100) -> None:
        if max_in_a_row < 0 or (max_total is not None and max_total < 0):
            raise ValueError(
                f"limits of skipped steps are not negative, got {max_in_a_row} and {max_total}"
            )
        self.max_in_a_row, self.max_total = max_in_a_row, max_total
        self.skipped = self.in_a_row = 0
        self._loss: Tensor | None = None  # the sum over the step's batches
        self._culprit = Culprit()
        self._statistics: list[tuple[Tensor, Tensor]] = []  # running ones, and as they were
        self._norms: list[Any] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        move_back(trainer, self)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._norms = [m for m in pl_module.modules() if isinstance(m, _NormBase)]
        self._begin(pl_module)

    def _begin(self, module: Any) -> None:
        """Forgets the step before."""
        self._loss = None
        self._culprit = Culprit()
        buffers = [b for norm in self._norms if norm.training for b in norm.buffers()]
        self._statistics = [(buffer, buffer.clone()) for buffer in buffers]

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        loss = loss.detach()
        self._loss = loss if self._loss is None else self._loss + loss

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: Any, optimizer: Optimizer
    ) -> None:
        if self._loss is None:  # the first batch's closure has not run
            return
        rates = [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]
        if not all(map(math.isfinite, rates)):
            self._end(trainer, f"the learning rate is {rates[0]}", "look at recipe.lr_scheduler")
        if not self._culprit.optimizers:
            pl_module.step_skipped = False
        self._culprit.optimizers.append(optimizer)
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        number = self._loss.float()
        if scaler is None or scaler.get_scale() < 1:
            number = number + pl_module.gradient_norm(optimizer)
        if math.isfinite(total(number).item()):  # a sum keeps NaN and infinity
            return
        pl_module.step_skipped = True
        self._restore_statistics()
        self._culprit.find(pl_module, self._loss)
        if scaler is None:
            optimizer.zero_grad(set_to_none=True)  # whatever has no gradient makes no step
        else:  # the scaler makes none where it sees an infinity
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.fill_(math.inf)

    def after_batch(
        self, trainer: Trainer, module: LightningModule, outputs: Outputs, batch: Batch
    ) -> None:
        self._culprit.see(outputs, batch)

    def after_step(self, trainer: Trainer, module: Any) -> None:
        if module.step_skipped:
            self._restore_statistics()  # a discriminator may have seen the batch since
            self._count(trainer)
        else:
            self.in_a_row = 0
            self._check_weights(trainer)
        if is_logging(trainer):
            log(trainer, {"train/skipped_steps": float(self.skipped)})
        self._begin(module)

    @torch.no_grad()
    def _restore_statistics(self) -> None:
        for buffer, before in self._statistics:
            buffer.copy_(before)

    def _count(self, trainer: Trainer) -> None:
        self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
        finding = self._culprit.of_all_processes()
        what = in_words(finding)
        if finding.rank == 0:  # it was so before this step
            self._end(trainer, what, "skipping steps does not cure a model")
        limits = {"in a row": (self.in_a_row, self.max_in_a_row)}
        if self.max_total is not None:
            limits["in all"] = (self.skipped, self.max_total)
        for name, (count, limit) in limits.items():
            if count > limit:
                self._end(
                    trainer,
                    f"{what}; {count} steps skipped {name}, {limit} may be",
                    "lower recipe.optimizer.lr, train with trainer.precision=32-true, or look at "
                    "these images",
                )
        if self.in_a_row == 1 and trainer.is_global_zero:
            print(f"step {trainer.global_step} is skipped: {what}", file=sys.stderr)

    def _check_weights(self, trainer: Trainer) -> None:
        parameters = [
            p for o in self._culprit.optimizers for g in o.param_groups for p in g["params"]
        ]
        # a norm in float32 is infinite from 1e19 on too: what has grown so large is lost as well
        if parameters and not math.isfinite(whole(get_total_norm(parameters)).item()):
            name = first_not_finite(trainer.lightning_module.state_dict())
            what = "a weight has grown beyond 1e19" if name is None else f"{name} is not finite"
            self._end(trainer, f"{what} with this step", "lower recipe.optimizer.lr")

    def _end(self, trainer: Trainer, what: str, remedy: str) -> NoReturn:
        raise NotFinite(
            f"stopped at step {trainer.global_step}: {what}; {remedy}; {_kept(trainer)}"
        )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        names = [n for n, v in trainer.callback_metrics.items() if n.startswith("val")]
        bad = [n for n in names if not math.isfinite(trainer.callback_metrics[n].item())]
        if bad and trainer.is_global_zero:
            said = f"{bad[0]} is {trainer.callback_metrics[bad[0]].item()}"
            print(f"step {trainer.global_step}: {said}; the training goes on", file=sys.stderr)

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict["in_a_row"]


def _kept(trainer: Trainer) -> str:
    """What there is to resume from."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    paths = [
        getattr(callback, "path", None) for callback in callbacks if hasattr(callback, "write")
    ]
    states = [path for path in paths if isinstance(path, Path) and path.is_file()]
    if not states:
        return "no state had been written yet (callbacks.training_state.every_n_steps)"
    return f"{states[0]} is as it was before: ckpt_path=last resumes from it"
