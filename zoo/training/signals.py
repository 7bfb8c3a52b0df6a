"""Ctrl-C, SIGTERM and a queue's warnings: save the state and leave.

One rule for all of them. The first signal lets the step end, writes its state and leaves with a
line and the code 128 + number (130 for Ctrl-C, 143 for SIGTERM). What is long after a step, a
validation or pictures, is broken off, and made by the training that resumes it. The second signal
leaves at once: the state is the last one that was written.

SIGINT counts also where the training was started with it ignored, as shells do in the background:
who sends it means it. SIGHUP does not: that is what ``nohup`` is for.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal, NoReturn

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments import LightningEnvironment
from torch import distributed

from zoo.callbacks.after_step import AfterStep, log_step, move_back
from zoo.callbacks.training_state import TrainingState
from zoo.logger import wandb
from zoo.records import Batch
from zoo.training.ending import Ending

_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGXCPU")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""The signals that end a training with its state written."""


class Interruption(SystemExit):
    """A signal asks the training to leave; on several processes, all of them after the same step.

    Attributes:
        signum: the signal's number.
        code: 128 + number, as shells have it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


class LeaveOnSignal(AfterStep):
    """Writes the state and raises ``Interruption`` when a signal has come to any process.

    Lightning's handlers are replaced while it trains: they leave without a state, and communicate
    from within a handler.

    Attributes:
        signum: the signal that came; 0 before.
        together: whether all processes leave.
    """

    turn = 1

    def __init__(self) -> None:
        self.signum = 0
        self.together = False
        self._phase: Literal["outside", "step", "rest"] = "outside"  # of a step, once it is counted
        self._loops: Mapping[str, Any] | None = None
        self._first = True  # process

    def install(self) -> None:
        """Takes the signals; in the main thread alone, for Python has it so."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._handle)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        move_back(trainer, self)
        self._first = trainer.is_global_zero

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._group = _cpu_group(trainer)
        self.install()  # over Lightning's
        self._phase = "step"

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        self._phase = "step"

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        signum = self._agreed(trainer)
        if signum:
            self._leave(trainer, signum)
        if trainer.world_size == 1:
            log_step(trainer)
            self._loops = trainer.fit_loop.state_dict()
            self._phase = "rest"
            if self.signum:  # came just now
                self._leave(trainer, self.signum)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._phase == "rest":
            self._phase = "step"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._phase = "step"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._phase = "outside"
        if self.signum and trainer.world_size == 1:
            raise Interruption(self.signum)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if isinstance(exception, Interruption) and self._phase == "rest":
            self._phase = "step"
            state = training_state(trainer)
            if state is not None and state.step != trainer.global_step:
                state.write(trainer, loops=self._loops)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:
            raise KeyboardInterrupt
        self.signum = signum
        if self._phase != "step":
            raise Interruption(signum)
        if self._first:  # print is not for handlers
            os.write(2, f"\n{name(signum)}: leaving after this step; again: at once\n".encode())

    def _agreed(self, trainer: Trainer) -> int:
        """The signal that came to any process, or 0."""
        if trainer.world_size == 1:
            return self.signum
        signum = torch.tensor(self.signum, dtype=torch.int32)
        distributed.all_reduce(signum, distributed.ReduceOp.MAX, group=self._group)
        return int(signum)

    def _leave(self, trainer: Trainer, signum: int) -> NoReturn:
        self.signum, self.together, self._phase = signum, True, "step"
        state = training_state(trainer)
        if state is not None and state.step != trainer.global_step:
            state.write(trainer)
        raise Interruption(signum)


@contextmanager
def leaving(trainer: Trainer, ending: Ending) -> Iterator[None]:
    """Within, signals end a training by the rule above; says in a line what is there.

    A handler that somebody else had installed, such as a queue's launcher, is called at the end.

    Raises:
        SystemExit: with 128 + the signal's number; with 0 in the other processes that Lightning
            itself started, for it ends all of them where one fails.
    """
    callback = next(c for c in callbacks(trainer) if isinstance(c, LeaveOnSignal))
    before = {number: signal.getsignal(number) for number in SIGNALS}
    callback.install()
    code = None
    try:
        yield
    except Interruption as error:
        code = 128 + error.signum
    except KeyboardInterrupt:
        code = 128 + (callback.signum or signal.SIGINT)
    except SystemExit as error:  # Lightning's, after a KeyboardInterrupt
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        code = 128 + (callback.signum or signal.SIGINT)
    finally:
        for number, handler in before.items():
            if handler is not None and threading.current_thread() is threading.main_thread():
                signal.signal(number, handler)
    if code is None:
        return
    launcher = trainer.strategy.launcher
    if not callback.together and launcher is not None:
        launcher.kill(signal.SIGTERM)
    if trainer.is_global_zero:
        print(f"\n{_line(trainer, ending, code - 128)}", file=sys.stderr)
        wandb.finish(trainer.loggers)
    handler = before[code - 128]
    if callable(handler) and handler is not signal.default_int_handler:
        handler(code - 128, None)
    environment: Any = getattr(trainer.strategy, "cluster_environment", None)
    own = isinstance(environment, LightningEnvironment) and not trainer.is_global_zero
    raise SystemExit(0 if own else code)


def name(signum: int) -> str:
    """What people call a signal.

    >>> name(2), name(15)
    ('Ctrl-C', 'SIGTERM')
    """
    return "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name


def callbacks(trainer: Trainer) -> list[Callback]:
    """The trainer's callbacks, which Lightning's types hide."""
    return list(trainer.callbacks)  # type: ignore[attr-defined]


def training_state(trainer: Trainer) -> TrainingState | None:
    """The callback that writes the state, where there is one."""
    return next((c for c in callbacks(trainer) if isinstance(c, TrainingState)), None)


def _line(trainer: Trainer, ending: Ending, signum: int) -> str:
    """What was interrupted, what is there, and how to go on."""
    state = training_state(trainer)
    if ending.saved:
        there = f"the training was over: {ending.path} is whole, only pictures are missing"
    elif state is None:
        there = "no state is written (callbacks.training_state=null)"
    elif not state.path.is_file():
        why = f": {state.error.strerror}" if state.error else " yet"
        there = f"no state has been written{why}"
    else:
        how = "the same command with ckpt_path=last resumes from it"
        newest = state.step == trainer.global_step and state.error is None
        there = f"{state.path} {'is of this step' if newest else 'is intact'}: {how}"
        if state.error is not None:
            there = f"this step's state cannot be written ({state.error.strerror}); {there}"
    return f"interrupted at step {trainer.global_step} by {name(signum)}; {there}"


def _cpu_group(trainer: Trainer) -> Any:
    """The processes, for a word on the CPU; one at a time would wait for a GPU's queue."""
    if trainer.world_size == 1 or distributed.get_backend() == "gloo":
        return None
    return distributed.new_group(backend="gloo")
