"""Training from cached latents, beside a step on latents that are ready and one that encodes.

    python benchmarks/latent_cache.py [--rounds 60]

A KL and a VQ autoencoder of the size "tiny", a latent diffusion model of that size, batches of 32
of 3,000 coloured images of noise, mirrored at random. Three copies of the model make the same
steps in turns: on moments that lie in memory, on those that the data stream reads from the cache,
and on images that it encodes. A step is batch, loss, gradient, clipping, optimizer and average. The
figures are CPU time of a single thread and medians over rounds, so that a busy neighbour does not
count. Beside them the largest
difference of the losses, and how many images a second are written and gathered, the latter in
batches of 256 of latents (8, 32, 32), those of 256 x 256 pixels. Writes
benchmarks/latent_cache.csv.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from _table import write

from zoo import entry as command
from zoo.data import ImageData, ImageSet
from zoo.encodings.entry import entry
from zoo.encodings.latents import Latents, latents_request
from zoo.encodings.table import Table
from zoo.training import parts


class Noise(ImageData):
    """Coloured noise."""

    def load(self) -> tuple[ImageSet, ImageSet]:
        generator = torch.Generator().manual_seed(0)
        shape = (3064, self.channels, self.image_size, self.image_size)
        pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        return ImageSet(pixels[64:]), ImageSet(pixels[:64])


class Training:
    """A copy of a model, and the step that `zoo train` makes of it."""

    def __init__(self, module: Any) -> None:
        self.module = deepcopy(module)
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = self.module.configure_optimizers()["optimizer"]
        self.module.recipe.ema.start(self.module)
        self.module.train()

    def step(self, batch: Any) -> float:
        """The loss of one step."""
        loss = self.module.training_step(batch, 0)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.module.recipe.ema.update(self.module)
        return float(loss.detach())


def measured(kind: str, folder: Path, rounds: int) -> dict[str, Any]:
    """One line of the table."""
    common = ["data=cifar10", "model/size=tiny", "trainer=cpu", "data.condition=none"]
    file = folder / f"{kind}.safetensors"
    data = Noise("noise", 32, 3, batch_size=32, condition="none", flip=True)
    data.setup()
    torch.manual_seed(0)
    parts.module(command.compose("train", [*common, f"model={kind}"]), data).save(file)
    overrides = [*common, "model=latent_diffusion", f"autoencoder={file}"]
    module = parts.module(command.compose("train", overrides), data)
    draw_weights(module)

    begin = time.process_time()
    kept = entry(folder / kind, latents_request(module.first_stage, data, "float32"))
    written = (2 * len(data.train) + len(data.test)) / (time.process_time() - begin)
    images = data.train_dataloader()
    data.moments = Latents(kept, data.flip)
    cached = data.train_dataloader()

    trainings = {name: Training(module) for name in ("ready", "cached", "encoding")}
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    difference = 0.0
    for step in range(rounds + 2):
        losses, ready = {}, cached.batch(step)
        names = list(trainings)
        for name in names[step % 3 :] + names[: step % 3]:  # each comes first as often
            begin = time.process_time()
            batch = {"ready": lambda: ready, "cached": lambda: cached.batch(step)}.get(  # noqa: B023
                name,
                lambda: images.batch(step),  # noqa: B023
            )()
            losses[name] = trainings[name].step(batch)
            seconds[name].append(time.process_time() - begin)
        difference = max(difference, abs(losses["cached"] - losses["encoding"]))
    rest = {name: values[2:] for name, values in seconds.items()}

    def ratio(name: str) -> float:
        return median(a / b for a, b in zip(rest[name], rest["ready"], strict=True))

    return {
        "first_stage": type(module.first_stage).__name__,
        "ready_ms": 1000 * median(rest["ready"]),
        "cached_ms": 1000 * median(rest["cached"]),
        "encoding_ms": 1000 * median(rest["encoding"]),
        "cached_over_ready": ratio("cached"),
        "encoding_over_ready": ratio("encoding"),
        "loss_difference": difference,
        "written_per_s": written,
        "gathered_per_s": gathered(folder / "rows.npy"),
    }


def draw_weights(module: Any) -> None:
    """Draws the layers that start at zero, which would hide what they read."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.denoiser.parameters():
        if not parameter.detach().any():
            parameter.data = 0.02 * torch.randn(parameter.shape, generator=generator)


def gathered(path: Path) -> float:
    """Latents of 256 x 256 pixels that are gathered in a second, at random."""
    np.save(path, np.zeros((6000, 8, 32, 32), np.float32))
    table, seconds = Table.open(path), []
    for seed in range(20):
        rows = torch.randint(len(table), (256,), generator=torch.Generator().manual_seed(seed))
        begin = time.process_time()
        table.gather(rows)
        seconds.append(time.process_time() - begin)
    return 256 / median(seconds)


def main() -> None:
    """Measures both first stages and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*self.log.*")  # there is no trainer
    with tempfile.TemporaryDirectory() as folder:
        kinds = ("autoencoder", "vq_autoencoder")
        write(__file__, [measured(kind, Path(folder), options.rounds) for kind in kinds])


if __name__ == "__main__":
    main()
