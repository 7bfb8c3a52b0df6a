"""A run that a queue interrupts ten times, beside the same run in one piece.

    python benchmarks/requeue.py [--interruptions 10]

`zoo train -m hydra/launcher=submitit_local` puts a training into submitit's local queue. A callback
sends it submitit's signal (SIGUSR2) in the middle of ten steps; each time the state is written,
submitit queues the job again, and the job resumes by itself. That queue starts a job six times at
most, so the command is given again until the run is over. Compared are every tensor of weights,
averages, optimizer and schedules, and every row of metrics.csv but speed, memory and energy. Needs
`pip install 'diffusion-zoo[slurm]'`. Writes benchmarks/requeue.csv.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _table import write

from zoo.callbacks.throughput import OF_THE_MACHINE

OVERRIDES = [
    "model=ddpm", "data=digits", "data.batch_size=4", "trainer=cpu", "trainer.precision=32-true",
    "trainer.max_steps=33", "trainer.log_every_n_steps=2", "trainer.val_check_interval=8",
    "trainer.limit_val_batches=1", "trainer.accumulate_grad_batches=2", "conditioner=class_label",
    "conditioner.dropout=0.1", "callbacks.sample_grid=null", "model.denoiser.channels=32",
    "model.denoiser.channel_mult=[1]", "model.denoiser.attention_at=[]",
    "model.denoiser.num_res_blocks=1", "model.denoiser.dropout=0.1", "seed=0",
]  # fmt: skip
CALLBACK = """
import os, signal
from pathlib import Path
from lightning import Callback

class PreEmption(Callback):
    def __init__(self, steps):
        self.steps = steps

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        mark = Path(f"marks/{trainer.global_step}")
        if trainer.global_step in self.steps and not mark.exists():
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
            os.kill(os.getpid(), signal.SIGUSR2)
"""


def zoo(folder: Path, *arguments: str) -> bool:
    command = [sys.executable, "-m", "zoo.cli", "train", *arguments, *OVERRIDES]
    return subprocess.run(command, cwd=folder).returncode == 0


def tensors(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a nested state, by their places."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from tensors(inner, f"{name}.{key}")


def state(folder: Path) -> dict[str, torch.Tensor]:
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    parts = {k: saved[k] for k in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks")}
    return dict(tensors(parts))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in OF_THE_MACHINE}
            for row in csv.DictReader(file)
        ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--interruptions", type=int, default=10)
    interruptions = parser.parse_args().interruptions
    steps = [3 * n + 2 for n in range(interruptions)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pre_emption.py").write_text(CALLBACK)
        zoo(folder, "run_dir=whole")
        begun, commands, over = time.monotonic(), 0, False
        pre_emption = [
            "+callbacks.pre._target_=pre_emption.PreEmption",
            f"+callbacks.pre.steps={steps}",
        ]
        while not over and commands <= interruptions:
            queue = ["-m", "hydra/launcher=submitit_local", "run_dir=runs", *pre_emption]
            over = zoo(folder, *queue)
            commands += 1
        seconds = time.monotonic() - begun
        logs = "".join(p.read_text() for p in (folder / "runs" / ".submitit").glob("*/*.out"))
        whole, parts = state(folder / "whole"), state(folder / "runs" / "0")
        assert whole.keys() == parts.keys()
        unequal = sum(not torch.equal(whole[key], parts[key]) for key in whole)
        lines = zip(rows(folder / "whole"), rows(folder / "runs" / "0"), strict=True)
        table = {
            "interruptions": len(list((folder / "marks").iterdir())),
            "requeued": logs.count("Loading pickle") - commands,
            "commands": commands,
            "tensors": len(whole),
            "unequal_tensors": unequal,
            "rows": len(rows(folder / "whole")),
            "unequal_rows": sum(a != b for a, b in lines),
            "seconds": seconds,
        }
    write(__file__, [table])


if __name__ == "__main__":
    main()
