"""Going on from a state: under the settings it was made with, or under recorded changes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from zoo.checkpoint import provenance, state_file
from zoo.training.run.settings import Difference, differences, in_words, is_fixed


class State(NamedTuple):
    """What a training's state says of the training so far.

    Attributes:
        path: its file.
        step: how many steps were made.
        batches: of them, in the epoch that is not over.
        run: what ``zoo.training.run.record.Record`` wrote: settings, changes, devices.
        shapes: of the model's tensors by name.
    """

    path: Path
    step: int
    batches: int
    run: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]


def read(path: Path) -> State:
    """Reads what a state says; its tensors stay on the disk.

    Raises:
        ValueError: it is no state of a training by ``zoo train``, or it is damaged.
    """
    state = state_file.read(path, mmap=True)
    try:
        run = {key: state["run"][key] for key in ("settings", "changes", "devices")}
        progress = state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
        shapes = {name: tuple(value.shape) for name, value in state["state_dict"].items()}
        return State(path, int(state["global_step"]), int(progress["processed"]), run, shapes)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be resumed: it lacks {error}, so it is no state that this version of "
            "zoo train wrote; start another run_dir"
        ) from error


def check(state: State, settings: Mapping[str, Any], allow_changes: bool) -> list[Difference]:
    """The settings that this part of the training changes.

    Args:
        state: which is resumed.
        settings: of this part; what is not yet known of them, and lacks, is not compared.
        allow_changes: whether there may be any.

    Raises:
        ValueError: a setting differs, and may not, or no training can change it.
    """
    before = state.run["settings"]
    if "content" not in settings["data"]:
        before = {**before, "data": {k: v for k, v in before["data"].items() if k != "content"}}
    changes = sorted(differences(before, settings), key=lambda change: change.key.count("."))
    if changes and not allow_changes:
        raise ValueError(
            f"{state.path} cannot be resumed: {in_words(changes)}; repeat the settings that the "
            "run began with, start another run_dir, or say allow_changes=true: the record will "
            f"then have the change at step {state.step}"
        )
    if fixed := [change for change in changes if is_fixed(change.key)]:
        raise ValueError(
            f"{state.path} cannot be resumed: {in_words(fixed)}; no training can change this on "
            "its way, so set it back, or start another run_dir"
        )
    accumulated = settings["trainer"].get("accumulate_grad_batches") or 1
    if state.batches % accumulated:
        raise ValueError(
            f"{state.path} cannot be resumed with trainer.accumulate_grad_batches={accumulated}: "
            f"it lies {state.batches} batches after the beginning, which is no multiple of that"
        )
    return changes


def check_fits(state: State, module: nn.Module, changes: Sequence[Difference]) -> None:
    """Refuses changes of a model whose weights those of the state do not fit.

    Raises:
        ValueError: see above.
    """
    ours = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    if ours != state.shapes:
        names = sorted(ours.keys() ^ state.shapes.keys()) or [
            name for name, shape in ours.items() if shape != state.shapes[name]
        ]
        sizes = [change for change in changes if change.key.startswith("model.")]
        reason = in_words(sizes) or "the model is another one"
        raise ValueError(
            f"{state.path} cannot be resumed: {reason}; its weights do not fit then "
            f"({', '.join(names[:2])}), so set it back, or start another run_dir"
        )


def is_finished(state: State, max_steps: int, model_file: Path) -> bool:
    """Whether nothing is left to do: all steps were made, and the model's file is of the last one.

    Raises:
        ValueError: more steps were made than the training is to have, and no model is of them.
    """
    if max_steps < 0 or state.step < max_steps:
        return False
    if model_file.is_file() and provenance(model_file).get("steps") == state.step:
        return True
    if state.step == max_steps:
        return False  # a run that was killed before its model was written
    raise ValueError(
        f"{state.path} is past trainer.max_steps={max_steps}: {state.step} steps were made; set "
        f"trainer.max_steps above {state.step}"
    )


class Apply(Callback):
    """Puts changed settings in the place of those that a state restores.

    Lightning restores rates and schedules as they were. Here the optimizer gets the new rate,
    betas and weight decay, and a new schedule goes on as if it had been there from step 0.

    Args:
        changes: of the settings.
    """

    def __init__(self, changes: Sequence[Difference]) -> None:
        self._data = any(change.key.startswith("data.") for change in changes)
        rates = ("recipe.optimizer", "recipe.lr_scheduler")
        self._rates = any(change.key.startswith(rates) for change in changes)
        self._groups: list[list[dict[str, Any]]] = []  # by optimizer, as the new recipe made them
        self._schedules: list[dict[str, Any]] = []
        self._had_schedule = False

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._had_schedule = bool(checkpoint.get("lr_schedulers"))
        if self._data:  # the stream would refuse what check() has allowed
            checkpoint["loops"]["fit_loop"]["state_dict"].pop("combined_loader", None)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._groups = [
            [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            for optimizer in trainer.optimizers
        ]
        self._schedules = [c.scheduler.state_dict() for c in trainer.lr_scheduler_configs]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._rates:
            return
        for optimizer, groups in zip(trainer.optimizers, self._groups, strict=True):
            for group, new in zip(optimizer.param_groups, groups, strict=True):
                group.update(new)
        for config, new in zip(trainer.lr_scheduler_configs, self._schedules, strict=True):
            steps = config.scheduler.last_epoch if self._had_schedule else trainer.global_step
            config.scheduler.load_state_dict(new)
            _advance(config.scheduler, steps)


def _advance(scheduler: Any, steps: int) -> None:
    """Brings a new schedule to where it is after ``steps`` steps."""
    if type(scheduler) is LambdaLR and steps:  # a function of the step alone
        scheduler.last_epoch, steps = steps - 1, 1
    with warnings.catch_warnings():  # that the optimizer made none of these steps
        warnings.simplefilter("ignore")
        for _ in range(steps):
            scheduler.step()
