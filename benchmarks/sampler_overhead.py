"""What a sampling loop costs on top of the bare network calls, per network evaluation.

    python benchmarks/sampler_overhead.py [--repeats 30]

A one-convolution network on a batch of 8 images of 3 x 16 x 16, so that the loop is all there is to
see. All loops, diffusers' among them, and bare calls run in turn; the figures are medians of paired
differences, the ratios those to diffusers' loop of the same kind. Writes
benchmarks/sampler_overhead.csv.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from _table import write
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn

import zoo
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.draw import Draw
from zoo.records import Condition
from zoo.sampler import (
    DDIM,
    PLMS,
    Ancestral,
    DPMSolver,
    DPMSolver3M,
    DPMSolverSDE,
    EulerAncestral,
    Heun,
    Sampler,
    UniPC,
)
from zoo.schedule import Linear

BATCH, SHAPE = 8, (3, 16, 16)


class OneConvolution(nn.Module):
    """The cheapest denoiser there is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.conv(x)


def ours(sampler: Sampler) -> tuple[Callable[[], None], int]:
    """One run of our loop, and its number of network evaluations per image."""
    module = zoo.DDPM(OneConvolution(), GaussianDiffusion(Linear()), SHAPE, sampler).eval()
    levels = sampler.levels(module.diffusion.schedule)
    x = torch.randn(BATCH, *SHAPE)
    condition = Condition()
    predict = module.guidance(module.predict, condition, None, module.clip)

    def run() -> None:
        draw = Draw(0, range(BATCH), "steps")
        for _ in sampler.steps(predict, x, levels, draw, module.diffusion.schedule):
            pass

    module.network_evaluations = 0
    run()
    return run, module.network_evaluations // BATCH


def theirs(scheduler: DDIMScheduler | DDPMScheduler, num_steps: int) -> Callable[[], None]:
    """One run of diffusers' loop."""
    network, x = OneConvolution().eval(), torch.randn(BATCH, *SHAPE)
    condition = Condition()
    scheduler.set_timesteps(num_steps)

    def run() -> None:
        sample = x
        for t in scheduler.timesteps:
            times = t.expand(BATCH)
            sample = scheduler.step(network(sample, times, condition), t, sample).prev_sample

    return run


def bare(evaluations: int) -> Callable[[], None]:
    """The network calls alone."""
    network, x = OneConvolution().eval(), torch.randn(BATCH, *SHAPE)
    t, condition = torch.zeros(BATCH), Condition()

    def run() -> None:
        for _ in range(evaluations):
            network(x, t, condition)

    return run


def seconds(run: Callable[[], None]) -> float:
    """CPU time of one run: of one thread, so that a busy neighbour does not count."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


class Loop(NamedTuple):
    """A run to time: its name, its network evaluations, whether it draws noise."""

    name: str
    run: Callable[[], None]
    evaluations: int
    stochastic: bool


@torch.inference_mode()
def overheads(loops: list[Loop], repeats: int) -> list[float]:
    """Microseconds per network evaluation on top of the bare calls, medians of paired runs."""
    alone = [bare(loop.evaluations) for loop in loops]
    differences: list[list[float]] = [[] for _ in loops]
    for repeat in range(repeats + 1):
        for loop, calls, own in zip(loops, alone, differences, strict=True):
            difference = seconds(loop.run) - seconds(calls)
            if repeat:  # the first warms up
                own.append(difference / loop.evaluations * 1e6)
    return [median(own) for own in differences]


def main() -> None:
    """Times every sampler and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)  # one thread: a loop of small operations has nothing to share out
    loops = []
    for name, noisy, sampler in (
        ("DDIM", False, DDIM(50)),
        ("PLMS", False, PLMS(50)),
        ("Heun", False, Heun(25)),
        ("DPMSolver", False, DPMSolver(50)),
        ("DPMSolver3M", False, DPMSolver3M(50)),
        ("UniPC order 2", False, UniPC(50)),
        ("UniPC order 3", False, UniPC(50, order=3)),
        ("Ancestral", True, Ancestral(50)),
        ("DDIM (eta 1)", True, DDIM(50, eta=1.0)),
        ("EulerAncestral", True, EulerAncestral(50)),
        ("Heun (churn)", True, Heun(25, s_churn=10.0)),
        ("DPMSolverSDE", True, DPMSolverSDE(50)),
    ):
        loops.append(Loop(f"zoo {name}", *ours(sampler), noisy))
    for scheduler in (DDIMScheduler(), DDPMScheduler()):
        noisy = isinstance(scheduler, DDPMScheduler)
        name = f"diffusers {type(scheduler).__name__}"
        loops.append(Loop(name, theirs(scheduler, 50), 50, noisy))
    costs = overheads(loops, repeats)
    peers = dict(zip((False, True), costs[-2:], strict=True))
    write(
        __file__,
        [
            {
                "sampler": loop.name,
                "evaluations": loop.evaluations,
                "stochastic": loop.stochastic,
                "overhead_us": cost,
                "ratio": cost / peers[loop.stochastic],
            }
            for loop, cost in zip(loops, costs, strict=True)
        ],
    )


if __name__ == "__main__":
    main()
