"""What a training step costs on one core of this machine, in float32.

    python benchmarks/training_speed.py [--steps 3]

Every model at model/size=tiny on images of 16, 32 and 64 pixels, and at its own size on 32. A step
is loss, gradient, clipping, optimizer and average of the recipe's batch (a sixteenth of it, times
16, at the own sizes). The figure is CPU time of a single thread, the median after one step to warm
up, so that a busy neighbour does not count; two free cores take somewhat more than half. The images
are noise: reading a data set, validation and grids come on top. Writes
benchmarks/training_speed.csv, which docs/training.md quotes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch
from _table import write

from zoo import entry
from zoo.records import Batch
from zoo.training import parts

MODELS = (
    "ddpm", "improved_ddpm", "autoencoder", "vq_autoencoder", "latent_diffusion",
    "guided_latent_diffusion", "noisy_classifier",
)  # fmt: skip
OWN = ("ddpm", "improved_ddpm", "latent_diffusion", "guided_latent_diffusion")
DATA = {"digits": (1, 16), "cifar10": (3, 32), "folder": (3, 64)}
LABELS = ("guided_latent_diffusion", "noisy_classifier")


def built(model: str, data: str, size: str, autoencoder: Path) -> tuple[Any, Any]:
    """A model as `zoo train` builds it, and its config."""
    channels, pixels = DATA[data]
    overrides = [f"model={model}", f"data={data}", f"model/size={size}", "trainer=cpu"]
    if data == "folder":
        overrides += ["data.folder=none", f"data.image_size={pixels}", "data.num_classes=10"]
    if model in LABELS:
        overrides.append("data.condition=label")
    if parts.wants_autoencoder(entry.compose("train", overrides)):
        overrides.append(f"autoencoder={autoencoder}")
    cfg = entry.compose("train", overrides)
    facts = SimpleNamespace(
        name=data, shape=(channels, pixels, pixels), condition=cfg.data.condition, num_classes=10
    )
    return parts.module(cfg, facts), cfg


def seconds_per_step(module: Any, cfg: Any, batch_size: int, steps: int) -> float:
    """The median CPU time of a training step of random images."""
    channels, pixels = DATA[cfg.data.name]
    images = torch.randn(batch_size, channels, pixels, pixels).clamp(-1, 1)
    batch = Batch(images, condition=torch.arange(batch_size) % 10)
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = module.configure_optimizers()["optimizer"]
    module.recipe.ema.start(module)
    module.train()
    durations = []
    for step in range(steps + 1):
        begin = time.process_time()
        module.training_step(batch, step)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        module.recipe.ema.update(module)
        durations.append(time.process_time() - begin)
    return median(durations[1:])


def main() -> None:
    """Times every model and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*self.log.*")  # there is no trainer
    rows = []
    plan = [(model, data, "tiny") for data in DATA for model in MODELS]
    plan += [(model, "cifar10", "paper") for model in OWN]
    with tempfile.TemporaryDirectory() as folder:
        for model, data, size in plan:
            own = Path(folder) / f"{data}-{size}.safetensors"
            module, cfg = built(model, data, size, own)
            if model == "autoencoder":
                module.save(own)
            elif size == "paper" and not own.exists():
                built("autoencoder", data, size, own)[0].save(own)
            share = 16 if size == "paper" else 1
            batch_size = cfg.data.batch_size // share
            seconds = share * seconds_per_step(module, cfg, batch_size, options.steps)
            rows.append({
                "model": model, "data": data, "pixels": DATA[data][1], "size": size,
                "parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
                "batch": cfg.data.batch_size, "core_seconds_per_step": seconds,
                "core_minutes": seconds * cfg.trainer.max_steps / 60,
            })  # fmt: skip
            print(rows[-1], flush=True)
    write(__file__, rows)


if __name__ == "__main__":
    main()
