"""A training in a forked process that ends itself at a call, and what two run folders differ in."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from zoo import entry
from zoo.callbacks import EMA, SampleGrid
from zoo.callbacks.throughput import OF_THE_MACHINE
from zoo.callbacks.training_state import UNFINISHED
from zoo.checkpoint import state_file
from zoo.logger.csv import MetricsCSV
from zoo.logger.wandb_file import records
from zoo.module import DiffusionModule
from zoo.training.train import train

SITES: dict[str, tuple[Any, str]] = {
    "training step": (DiffusionModule, "training_step"),
    "averages": (EMA, "update"),
    "validation step": (DiffusionModule, "validation_step"),
    "row": (MetricsCSV, "_flush"),
    "block of a state": (state_file._Stream, "write"),
    "fsync": (os, "fsync"),
    "rename": (os, "replace"),
    "grid": (SampleGrid, "draw"),
}


class Child:
    """The processes of one training.

    Args:
        run_dir: its folder; ``<run_dir>.log`` has what it said.
        overrides: of `zoo train`.
        processes: how many share it.
    """

    def __init__(self, run_dir: Path, overrides: list[str], processes: int) -> None:
        self.run_dir, self.overrides, self.processes = run_dir, overrides, processes
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def fork(self, rank: int, site: str, count: int, after: bool) -> int:
        """Starts a process; the last one ends itself at the ``count``-th call of a site."""
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            self._train(rank, site if rank == self.processes - 1 else "", count, after)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _train(self, rank: int, site: str, count: int, after: bool) -> None:
        self.run_dir.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(f"{self.run_dir}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["WANDB_SILENT"] = "true"
        if self.processes > 1:
            self._join(rank)
        counts: Counter[str] = Counter()
        for name, (owner, method) in SITES.items():
            original = getattr(owner, method)
            setattr(owner, method, _counting(name, original, counts, site, count, after))
        train(entry.compose("train", self.overrides))
        if rank == self.processes - 1:
            Path(f"{self.run_dir}.counts").write_text(json.dumps(counts))

    def _join(self, rank: int) -> None:
        """Makes this process a rank, as torchrun does."""
        from lightning.pytorch.utilities import rank_zero_only

        os.environ |= {
            "TORCHELASTIC_RUN_ID": str(self.port), "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self.port), "GROUP_RANK": "0", "RANK": str(rank),
            "LOCAL_RANK": str(rank), "WORLD_SIZE": str(self.processes),
            "LOCAL_WORLD_SIZE": str(self.processes),
        }  # fmt: skip
        rank_zero_only.rank = rank


def _counting(
    name: str, call: Callable[..., Any], counts: Counter[str], site: str, count: int, after: bool
) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        counts[name] += 1
        due = name == site and counts[name] == count
        if due and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*args, **kwargs)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return counted


def differences(whole: Path, resumed: Path) -> list[str]:
    """What a resumed run's folder has that the unbroken one's has not, in words."""
    a, b = (state_file.read(folder / "last.ckpt") for folder in (whole, resumed))
    for state in (a, b):
        for key in ("seconds", "energy", "memory"):
            state["callbacks"]["Throughput"].pop(key, None)
        for device in state["run"]["devices"]:
            device.pop("seconds")
        for key in ("loops", "epoch", UNFINISHED):  # counts of what was begun and left
            state.pop(key, None)
    wrong = [f"state: {key}" for key in a.keys() | b.keys() if not same(a.get(key), b.get(key))]
    weights = [load_file(folder / "model.safetensors") for folder in (whole, resumed)]
    wrong += [] if same(*weights) else ["model.safetensors"]
    rows, others = rows_of(whole), rows_of(resumed)
    wrong += [] if rows == others else [f"metrics.csv: {_first(rows, others)}"]
    names, there = files(whole), files(resumed)
    wrong += [f"file {name}" for name in sorted(names ^ there)]
    if (whole / "wandb").exists():
        wrong += [f"wandb: {line}" for line in tracked(wandb_rows(resumed), rows)]
        wrong += [f"tensorboard: {line}" for line in tracked(tensorboard_rows(resumed), rows)]
    return wrong


def same(a: Any, b: Any) -> bool:
    """Whether nested states are equal, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, without what depends on the time."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in sorted(row.items()) if v and k not in OF_THE_MACHINE} for row in rows]


def files(folder: Path) -> set[str]:
    """The names in a run folder; trackers name theirs by the time."""
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return {name for name in names if not name.startswith(("wandb/", "tensorboard/"))} - {
        "wandb_id.txt"
    }


def tracked(history: list[dict[str, Any]], rows: list[dict[str, str]]) -> Iterator[str]:
    """How a tracker's rows differ from those of metrics.csv."""
    steps = [row["step"] for row in history]
    if steps != sorted(set(steps)):
        yield f"steps {steps}"
    values = {row["step"]: row for row in history}
    for row in rows:
        theirs = values.get(int(row["step"]), {})
        lacks = [
            k for k in row if abs(float(row[k]) - theirs.get(k, 1e99)) > 1e-6 * abs(float(row[k]))
        ]
        if lacks:
            yield f"step {row['step']}: {', '.join(lacks)}"


def wandb_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of all parts of an offline run, in their order."""
    from wandb.proto.wandb_internal_pb2 import Record

    history = []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in records(file.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
                history.append({**row, "step": record.history.step.num})
    return history


def tensorboard_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    rows: dict[int, dict[str, Any]] = {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            row = rows.setdefault(event.step, {"step": event.step})
            row[name] = 1e99 if name in row else event.value  # there twice
    return [rows[step] for step in sorted(rows)]


def _first(a: list[Any], b: list[Any]) -> str:
    """The first rows that differ."""
    if len(a) != len(b):
        return f"steps {[row['step'] for row in b]} of {[row['step'] for row in a]}"
    left, right = next((x, y) for x, y in zip(a, b, strict=True) if x != y)
    keys = [key for key in left.keys() | right.keys() if left.get(key) != right.get(key)]
    return f"step {left['step']}: {', '.join(sorted(keys))}"
