"""Averages of the weights: what a step costs, and how near rebuilt ones are to tracked ones.

    python benchmarks/averages.py [--repeats 40]

Cost: a step of 1, 2 and 4 averages of the 35.7 M parameters of DDPM's CIFAR-10 network, in turn
with the one bare ``torch._foreach_lerp_`` that it takes at least; the figure is the ratio of the
shortest times, which other processes disturb least.

Nearness: a network trained on the digits by AdamW for 2,000 steps, and a random walk. Averages of
several lengths are tracked directly, and rebuilt from snapshots every 100 steps of 0.05 and 0.1 as
``zoo ema`` does. The figure is the distance between the two over the distance of the tracked
average from the last weights. Writes benchmarks/averages.csv.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _table import write
from hydra.utils import instantiate
from torch import nn

from zoo.averages.power import coefficients, mismatch
from zoo.averages.snapshots import combine, snapshots
from zoo.averages.snapshots import write as write_snapshot
from zoo.callbacks import EMA
from zoo.data import Digits
from zoo.data.stream import to_float
from zoo.entry import compose

KEPT, WANTED = [0.05, 0.1], [0.03, 0.05, 0.075, 0.1, 0.15, 0.2]
STEPS, EVERY = 2000, 100


def cost(repeats: int) -> list[dict[str, Any]]:
    """Rows of the time of a step."""
    network = instantiate(compose("train", ["model=ddpm", "data=cifar10"]).model.denoiser)
    parameters = list(network.parameters())
    averages = [parameter.detach().clone() for parameter in parameters]
    emas = {
        "1 decay": EMA(0.999),
        "2 decays": EMA([0.999, 0.9999]),
        "2 decays, 2 power functions": EMA([0.999, 0.9999], sigma_rel=KEPT),
    }
    for ema in emas.values():
        ema.start(network)

    @torch.no_grad()
    def bare() -> None:
        torch._foreach_lerp_(averages, parameters, 1e-3)

    steps: dict[str, Callable[[], None]] = {"bare": bare}
    steps |= {name: lambda ema=ema: ema.update(network) for name, ema in emas.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return [
        {"what": f"a step of {name} over the bare one", "sigma_rel": "", "dtype": "float32",
         "figure": min(times[name]) / min(times["bare"]), "profile_mismatch": ""}
        for name in emas
    ]  # fmt: skip


def nearness(name: str, network: nn.Module, step: Callable[[], None]) -> list[dict[str, Any]]:
    """Rows of rebuilt averages against tracked ones of a trajectory that ``step`` walks."""
    ema = EMA(None, sigma_rel=WANTED)
    ema.start(network)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, STEPS + 1):
            step()
            ema.update(network)
            if number % EVERY == 0:
                kept = {s: ema.every[str(s)] for s in KEPT}
                for dtype in (torch.float16, torch.float32):
                    place = Path(folder) / str(dtype)
                    write_snapshot(place, number, kept, dtype, name, True)
        rows = []
        for dtype in (torch.float16, torch.float32):
            every = snapshots(Path(folder) / str(dtype))
            pairs = [average for snapshot in every for average in snapshot.averages]
            targets = [(float(STEPS), sigma_rel) for sigma_rel in WANTED]
            columns = coefficients(pairs, targets)
            distances = mismatch(pairs, targets, columns)
            rebuilt = combine(every, columns.T.tolist())
            for sigma_rel, ours, distance in zip(WANTED, rebuilt, distances, strict=True):
                theirs, last = ema.every[str(sigma_rel)], dict(network.named_parameters())
                away = sum((ours[k] - theirs[k]).square().sum().item() for k in ours)
                whole = sum((last[k] - theirs[k]).square().sum().item() for k in ours)
                rows.append(
                    {"what": f"{name}: rebuilt against tracked", "sigma_rel": sigma_rel,
                     "dtype": str(dtype).removeprefix("torch."), "figure": (away / whole) ** 0.5,
                     "profile_mismatch": float(distance)}
                )  # fmt: skip
        return rows


def trained() -> tuple[nn.Module, Callable[[], None]]:
    """A classifier of digits and a step of its training."""
    train = Digits(name="digits", image_size=16, channels=1, num_classes=10).load()[0]
    images, labels = to_float(train.images).flatten(1), train.labels
    network = nn.Sequential(nn.Linear(256, 128), nn.SiLU(), nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    assert labels is not None

    def step() -> None:
        rows = torch.randint(len(images), (64,))
        loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return network, step


def walking() -> tuple[nn.Module, Callable[[], None]]:
    """Parameters that walk at random."""
    network = nn.Linear(200, 100)

    @torch.no_grad()
    def step() -> None:
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)

    return network, step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    torch.manual_seed(0)
    rows = cost(parser.parse_args().repeats)
    rows += nearness("digits trained by AdamW", *trained())
    rows += nearness("random walk", *walking())
    write(__file__, rows)


if __name__ == "__main__":
    main()
