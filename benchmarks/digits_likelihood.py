"""Held-out bits per dimension of DDPM and Improved DDPM, with all steps and with 25.

    python benchmarks/digits_likelihood.py [--images 120]

DDPM is scored with either fixed variance. Draws the learned variance fraction over t into
benchmarks/digits_variance_fraction.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from _table import write
from torch import Tensor

import zoo
from zoo import paths
from zoo.data.source.digits import Digits
from zoo.diffusion.variance import FixedVariance
from zoo.draw import Draw
from zoo.system.progress import track


def bits(module: Any, images: Tensor, labels: Tensor, num_steps: int | None, name: str) -> dict:
    """A row: the mean over the images and its standard error."""
    chunks = track(range(0, len(images), 120), description=f"{name}, {num_steps or 'all'} steps")
    found = torch.cat(
        [
            module.bits_per_dim(
                images[first : first + 120], labels[first : first + 120], num_steps,
                indices=range(first, min(first + 120, len(images))),
            )
            for first in chunks
        ]
    )  # fmt: skip
    return {
        "model": name,
        "num_steps": num_steps or int(module.diffusion.schedule.end),
        "bits_per_dim": found.mean().item(),
        "standard_error": (found.std() / len(found) ** 0.5).item(),
        "images": len(found),
    }


@torch.inference_mode()
def plot_fraction(module: Any, images: Tensor, labels: Tensor, target: Path) -> None:
    """The learned fraction over t: mean and the middle 80 % of pixels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    times = [1, 2, 3, 5, 8, 12, 20, 35, *range(50, 1001, 50)]
    condition, curves = module.conditioner(labels), []
    for t in times:
        noise = Draw(0, range(len(images)), f"fraction/{t}").normal(images)
        level = module.diffusion.schedule(float(t))
        x = level.alpha * images + level.sigma * noise
        fraction = module.predict(x, level, condition).variance_fraction.flatten()
        quantiles = fraction.quantile(torch.tensor([0.1, 0.9]))
        curves.append((fraction.mean().item(), *quantiles.tolist()))
    middle, low, high = zip(*curves, strict=True)
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.fill_between(times, low, high, alpha=0.25, label="middle 80 % of pixels")
    axes.plot(times, middle, label="mean")
    axes.set(
        xscale="log", xlabel="t", ylabel="variance fraction (0: posterior variance, 1: beta)",
        title="What Improved DDPM learned between the two bounds, held-out digits",
    )  # fmt: skip
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.axhline(1, color="grey", linewidth=0.5)
    axes.legend()
    figure.savefig(target, dpi=120)
    print(f"wrote {target}")


def main() -> None:
    """Scores both models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--folder", default=str(paths.checkpoints() / "digits"))
    options = parser.parse_args()
    data = Digits()
    data.setup()
    images = data.test.images[: options.images] / 127.5 - 1
    labels = data.test.labels[: options.images]
    ddpm = zoo.load(Path(options.folder) / "ddpm.safetensors")
    improved = zoo.load(Path(options.folder) / "improved_ddpm.safetensors")
    rows = []
    for num_steps in (None, 25):
        for fraction, kind in ((0.0, "posterior variance"), (1.0, "beta")):
            ddpm.diffusion.variance = FixedVariance(fraction)
            rows.append(bits(ddpm, images, labels, num_steps, f"DDPM ({kind})"))
        rows.append(bits(improved, images, labels, num_steps, "Improved DDPM (learned)"))
    write(__file__, rows)
    plot_fraction(
        improved, images, labels, Path(__file__).with_name("digits_variance_fraction.png")
    )


if __name__ == "__main__":
    main()
