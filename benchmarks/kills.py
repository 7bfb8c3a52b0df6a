"""Kills trainings at random moments, resumes each to the end, and compares with an unbroken one.

    python benchmarks/kills.py [--kills 50] [--seed 0] [--scenario NAME ...] [--keep FOLDER]

The trainings are tiny, on digits, and have everything that a kill could harm: states, validations,
grids, accumulated batches, epochs that end between two states, Weights & Biases offline and
TensorBoard, two processes. A moment is a time, or a call, before or after it: of a training step,
the averages, a validation step, a row of metrics.csv, a block of a state, fsync, rename, a grid.
Equal means: weights, averages, optimizer and the callbacks' states bit for bit, every curve row for
row (but for images per second), in each tracker every step once, and no file that should not be
there. Children are forked from one process, so that a run takes a second. Writes
benchmarks/kills.csv.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _kill_child import SITES, Child, differences
from _table import write

from zoo import entry
from zoo.data import Digits

TINY = [
    "model.denoiser.channels=32",
    "model.denoiser.channel_mult=[1]",
    "model.denoiser.attention_at=[]",
    "model.denoiser.num_res_blocks=1",
    "sampler.num_steps=2",
    "data.batch_size=4",
    "trainer=cpu",
    "trainer.precision=32-true",
    "trainer.max_steps=16",
    "trainer.log_every_n_steps=2",
    "trainer.val_check_interval=4",
    "trainer.limit_val_batches=2",
    "recipe.lr_scheduler.num_steps=5",
    "callbacks.sample_grid.num_images=4",
    "callbacks.sample_grid.sampler.num_steps=2",
    "callbacks.sample_grid.every_n_steps=6",
    "callbacks.training_state.every_n_steps=3",
]
SCENARIOS = {
    "plain": ["model.denoiser.dropout=0.2", "callbacks.training_state.keep_last=2"],
    "accumulation": ["model=improved_ddpm", "trainer.accumulate_grad_batches=2"],
    "epochs": [
        "+data.steps_per_epoch=5",
        "callbacks.training_state.every_n_steps=4",
        "recipe/time_sampler=loss_second_moment",
        "schedule=cosine",
        "schedule.num_timesteps=4",
        "recipe.time_sampler.history=1",
    ],
    "trackers": [
        "logger=wandb",
        "+logger.tensorboard._target_=zoo.logger.tensorboard.TensorBoard",
        "+logger.tensorboard.save_dir=${run_dir}",
        "+logger.tensorboard.name=tensorboard",
        "+logger.tensorboard.version=''",
    ],
    "two_processes": ["trainer.strategy=ddp", "trainer.devices=2"],
}
LONGEST = 120  # seconds of a run, before it counts as hanging


class Scenario:
    """One kind of training, its unbroken run, and how often each site is passed in it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.processes = 2 if name == "two_processes" else 1
        self.whole = folder / "whole"
        begin = time.monotonic()
        status = self.run(self.whole)
        self.seconds = time.monotonic() - begin
        if status:
            raise SystemExit(f"{name}: the unbroken run failed, see {folder}/whole.log")
        self.counts: dict[str, int] = json.loads((folder / "whole.counts").read_text())

    def run(
        self, run_dir: Path, site: str = "", count: int = 0, after: bool = False, moment: float = 0
    ) -> int:
        """Trains, or goes on; killed at a call, or after some seconds. 0 where it ended."""
        resumes = (run_dir / "last.ckpt").is_file()
        overrides = [*TINY, *SCENARIOS[self.name], f"run_dir={run_dir}"]
        overrides += ["ckpt_path=auto"] if resumes else []  # one killed on its way out is finished
        child = Child(run_dir, overrides, self.processes)
        pids = [child.fork(rank, site, count, after) for rank in range(self.processes)]
        if moment:
            time.sleep(moment)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        return _wait(pids)

    def trial(self, draw: random.Random, number: int) -> dict[str, Any]:
        """One kill, the resumed run and what is different."""
        run_dir = self.folder / f"killed{number}"
        sites = [site for site in SITES if self.counts.get(site)]
        site = draw.choice(["time", "time", *sites])
        if site == "time":
            moment = draw.uniform(0.05, 1.0) * self.seconds
            where = f"{moment:.2f} s"
            self.run(run_dir, moment=moment)
        else:
            count, after = draw.randint(1, self.counts[site]), draw.random() < 0.5
            where = f"{'after' if after else 'before'} call {count} of {self.counts[site]}"
            self.run(run_dir, site, count, after)
        state = run_dir / "last.ckpt"
        at = torch.load(state, weights_only=True)["global_step"] if state.is_file() else 0
        wrong = [] if self.run(run_dir) == 0 else ["the resumed run failed"]
        wrong = wrong or differences(self.whole, run_dir)
        return {
            "kill": number,
            "scenario": self.name,
            "moment": site,
            "where": where,
            "resumed_from_step": at,
            "equal": not wrong,
            "differences": "; ".join(wrong),
        }


def _wait(pids: list[int]) -> int:
    """0 where all end well; where one does not, the others are killed, as a queue does it."""
    deadline, left = time.monotonic() + LONGEST, set(pids)
    worst = 0
    while left:
        for pid in list(left):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                left.remove(pid)
                worst = worst or status
        if left and (worst or time.monotonic() > deadline):
            worst = worst or 1
            for pid in left:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            left.clear()
        time.sleep(0.005)
    return worst


def main() -> None:
    """Kills and compares; fails where anything is different."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", nargs="*", default=list(SCENARIOS))
    parser.add_argument("--keep", type=Path, help="a folder for the runs; a temporary one if none")
    parser.add_argument("--dry", action="store_true", help="write no table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = Digits(name="digits", image_size=16, channels=1, num_classes=10).load()
    Digits.load = lambda self: digits  # type: ignore[method-assign]
    entry.compose("train", TINY)  # the parsers are warm in every child
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        rows = []
        scenarios = [Scenario(name, folder / name) for name in options.scenario]
        for number in range(options.kills):
            draw = random.Random(f"{options.seed}/{number}")
            rows.append(scenarios[number % len(scenarios)].trial(draw, number))
            print(" ".join(str(value) for value in rows[-1].values()), flush=True)
    if not options.dry:
        write(__file__, rows)
    equal = sum(row["equal"] for row in rows)
    print(f"{equal} of {len(rows)} equal the unbroken run")
    raise SystemExit(equal < len(rows))


if __name__ == "__main__":
    main()
