"""A run's folder: who may write into it, its states, its config and the history of its starts.

Nothing here needs torch: a command that cannot go on is refused before torch is loaded.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import yaml

from zoo.checkpoint import state_file
from zoo.checkpoint.name import MODEL_FILE
from zoo.system.files import write_atomically
from zoo.system.group import ranks
from zoo.system.nested import leaves
from zoo.system.versions import git_commit, versions
from zoo.training.run.lock import FolderLock

STATE_FILE = "last.ckpt"
CONFIG_FILE = "config.yaml"
STARTS_FILE = "starts.jsonl"
_TRACES = (STATE_FILE, MODEL_FILE, "metrics.csv", "averages")  # of an earlier run
_REMAINS = ("metrics.csv", "wandb_id.txt", "averages")  # of a start that left no state
_LEAVING = 20.0  # seconds that the process before a requeue may take to end


class Start(Protocol):
    """A state, as the history of a run sees it."""

    @property
    def path(self) -> Path:
        """Its file."""

    @property
    def step(self) -> int:
        """How many steps were made."""


def check(config: Mapping[str, Any]) -> None:
    """Refuses a run that cannot begin, before anything is loaded.

    Raises:
        ValueError: ``ckpt_path`` names no state (see ``state_to_resume``), or another training is
            in the run's folder.
    """
    run_dir, ckpt_path = Path(config["run_dir"]), config["ckpt_path"]
    if not ranks.is_first():
        return
    with RunFolder(run_dir, ckpt_path):
        state_to_resume(ckpt_path, run_dir)


def state_to_resume(ckpt_path: str | None, run_dir: Path) -> Path | None:
    """The training state to resume from, or None for a start from step 0.

    Args:
        ckpt_path: the path of a state; "last" for the run folder's own; "auto" for that where there
            is one, and a new start where there is none; None for a new start.
        run_dir: the run's folder.

    Raises:
        ValueError: there is no such file, it is torn or foreign, or "auto" would begin again where
            a finished model is.
    """
    if ckpt_path is None:
        return None
    own = ckpt_path in ("last", "auto")
    path = run_dir / STATE_FILE if own else Path(ckpt_path)
    if ckpt_path == "auto" and not path.exists():
        if (run_dir / MODEL_FILE).exists():
            raise ValueError(
                f"ckpt_path=auto: {run_dir} holds a trained model but no {STATE_FILE} to resume "
                "from: set another run_dir, or leave ckpt_path out to move the old run aside"
            )
        return None
    if not path.exists():
        raise ValueError(
            f"ckpt_path={ckpt_path}: there is no {path} to resume from; leave ckpt_path out to "
            "start again, ckpt_path=auto resumes where there is one; or set run_dir to the folder "
            "of the run"
        )
    state_file.verify(path)
    return path


class RunFolder:
    """A run's folder, held by one training while this context lasts.

    Only a run's first process holds it; the others do nothing here.

    Args:
        path: the folder.
        ckpt_path: of the config; "auto" waits for a process that is about to leave.

    Raises:
        ValueError: on entering, another training holds it.
    """

    def __init__(self, path: Path, ckpt_path: str | None = None) -> None:
        self.path = path
        self._wait = _LEAVING if ckpt_path == "auto" else 0.0
        self._first = ranks.is_first()
        self._lock = FolderLock(path)
        self._aside: Path | None = None  # where this start has moved an earlier run

    def __enter__(self) -> Self:
        if self._first:
            self._lock.acquire(self._wait)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def make_room(self, state: Path | None, reuse: bool) -> None:
        """Makes room for a run: an earlier one moves to ``<path>.1`` or the next free number.

        Args:
            state: which the run resumes; a run whose state it is stays.
            reuse: go on in the folder where there is neither a state nor a model.
        """
        if not self._first or (state is not None and _is_below(state, self.path)):
            return
        if reuse:
            for remains in (self.path / name for name in _REMAINS):
                if remains.is_dir():
                    shutil.rmtree(remains)
                else:
                    remains.unlink(missing_ok=True)
        elif any((self.path / name).exists() for name in _TRACES):
            self._set_aside()

    def _set_aside(self) -> None:
        number = 1
        while (free := self.path.with_name(f"{self.path.name}.{number}")).exists():
            number += 1
        self.path.rename(free)
        self._lock.release(free)
        self._lock = FolderLock(self.path)
        self._lock.acquire(self._wait)
        self._aside = free
        print(f"{self.path} held an earlier run: it is now {free}", file=sys.stderr)

    def put_back(self) -> None:
        """Undoes what ``make_room`` moved, for a start that has failed before its first step."""
        if self._aside is None:
            return
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)
        if not self.path.exists():
            self._aside.rename(self.path)
            print(f"{self._aside} is {self.path} again", file=sys.stderr)
        self._aside = None

    def end(self, step: int) -> None:
        """Adds to ``starts.jsonl`` that a start has come to its end."""
        if self._first:
            _add_line(self.path / STARTS_FILE, {"time": _now(), "ended_at_step": step})

    @property
    def has_ended(self) -> bool:
        """Whether the last start came to its end: it was not killed in its last pictures."""
        file = self.path / STARTS_FILE
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        return bool(lines) and '"ended_at_step"' in lines[-1]

    def describe(
        self, config: Mapping[str, Any], state: Start | None, changes: Sequence[Any]
    ) -> None:
        """Writes ``config.yaml``, and one line on this start into ``starts.jsonl``.

        Args:
            config: resolved.
            state: which the run resumes; None at step 0.
            changes: of the settings, since step 0.
        """
        if not self._first:
            return
        file = self.path / CONFIG_FILE
        before = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
        now = dict(config) | ({"changes": list(changes)} if changes else {})
        start = _start(state) | ({} if before is None else {"changed": _changed(before, now)})
        _add_line(self.path / STARTS_FILE, start)
        write_atomically(file, yaml.safe_dump(now, sort_keys=False, allow_unicode=True))


def _is_below(path: Path, folder: Path) -> bool:
    return folder.resolve() in path.resolve().parents


def _add_line(file: Path, facts: Mapping[str, Any]) -> None:
    with open(file, "a", encoding="utf-8") as lines:
        lines.write(json.dumps(facts, ensure_ascii=False) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _start(state: Start | None) -> dict[str, Any]:
    return {
        "time": _now(),
        "step": 0 if state is None else state.step,
        "state": None if state is None else str(state.path),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": shlex.join(sys.argv),
        "git_commit": git_commit(),
        "versions": versions(),
    }


def _changed(before: Any, now: Any) -> dict[str, list[Any]]:
    """Every value of config.yaml that this start replaces, with the new one."""
    old, new = leaves(before), leaves(now)
    return {
        key: [old.get(key), new.get(key)]
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    }
