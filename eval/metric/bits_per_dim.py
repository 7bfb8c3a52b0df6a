"""Bits per dimension of held-out images: the variational bound of a pixel model (DDPM, eq. 5)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from eval.metric.metric import Metric
from eval.result.record import Value
from eval.result.uncertainty import BLOCKS, block_bounds, jackknife
from zoo.records import Batch

NAME = "bits_per_dim"
NOT_PIXELS = "a latent model diffuses no 8-bit values: it has no bits per dimension"


class BitsPerDim(Metric):
    """The mean of the images' bounds, and its standard error.

    It is fed by the model itself, with ``{"bits_per_dim": (B,)}``.
    """

    stem = NAME
    definition = "variational bound on -log2 p of 8-bit images, per dimension, x0 clipped"
    higher_is_better = False
    total: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__("model", NAME)
        for state in ("total", "squares"):
            self.add_state(state, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @property
    def name(self) -> str:
        """The number's name: it belongs to no extractor."""
        return NAME

    def update(self, features: dict[str, Tensor], batch: Batch) -> None:
        """Adds the bounds (B,) of one batch."""
        bits = self.read(features).double().to(self.device)
        self.total += bits.sum()
        self.squares += bits.square().sum()
        self.count += len(bits)

    def compute(self) -> dict[str, float]:
        """The mean, and ``standard_error``: the images' standard deviation over sqrt(N).

        Raises:
            ValueError: fewer than two images, which have no spread.
        """
        count = int(self.count)
        if count < 2:
            raise ValueError(f"a standard error needs at least 2 images, got {count}")
        mean = float(self.total) / count
        variance = max(0.0, float(self.squares) - count * mean**2) / (count - 1)
        return {self.name: mean, "standard_error": math.sqrt(variance / count)}


def bits_per_dim(
    module: Any,
    data: Any,
    num_images: int,
    num_steps: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
) -> Value | None:
    """The figure of a model on held-out images, or None for a latent model, which has none.

    Args:
        module: a ``DiffusionModule``.
        data: a data set after ``setup()``.
        num_images: of the test split, evenly spaced in it.
        num_steps: of the chain; the schedule's own T when None.
        seed: of the noise.
        batch_size: images at a time; each has noise of its own.

    Raises:
        ValueError: there are not so many held-out images.
    """
    if module.first_stage.bounds is None:
        return None
    if not 2 <= num_images <= len(data.test):
        raise ValueError(
            f"bits_per_dim.num_images is 2 to {len(data.test)}, the held-out images of "
            f"{data.name}, got {num_images}"
        )
    from zoo.system.progress import track

    metric, seen = BitsPerDim(), []
    chosen = torch.linspace(0, len(data.test) - 1, num_images, dtype=torch.float64).round().long()
    parts = chosen.split(batch_size)
    for number, rows in enumerate(track(parts, description="bits per dimension")):
        images = data.test.gather(rows).float() / 127.5 - 1
        condition = _condition(module, data, rows)
        first = number * batch_size
        indices = range(first, first + len(rows))
        bits = module.bits_per_dim(images, condition, num_steps, seed, indices=indices)
        metric.update({NAME: bits.cpu()}, Batch(images, condition))
        seen.append(bits.double().cpu())
    found = metric.compute()
    return Value(
        value=found[NAME],
        definition=(
            f"How many bits the model needs for each colour value of {num_images} held-out images, "
            f"at most: the variational bound, {steps_in_words(num_steps)}. 8 is knowing nothing."
        ),
        higher_is_better=False,
        num_images=num_images,
        standard_error=found["standard_error"],
        blocks=_block_means(torch.cat(seen)),
    )


def _block_means(bits: Tensor) -> list[float]:
    """Block by block of the images, as pseudo-values of the mean; every model is given the same."""
    if len(bits) < 2 * BLOCKS:
        return []
    blocks = [bits[first:last] for first, last in block_bounds(len(bits))]
    without = [(bits.sum() - b.sum()).item() / (len(bits) - len(b)) for b in blocks]
    return list(jackknife(bits.mean().item(), without).pseudo)


def steps_in_words(num_steps: int | None) -> str:
    """The chain's length for people."""
    return f"over {num_steps} steps" if num_steps else "over all steps"


def _condition(module: Any, data: Any, rows: Tensor) -> Any:
    """What the images show, as the model is told it."""
    if type(module.conditioner).__name__ == "Unconditional":
        return None
    kind = "label" if getattr(module.conditioner, "num_classes", None) else "caption"
    known = getattr(data.test, f"{kind}s")
    if known is None:
        raise ValueError(
            f"bits per dimension of this model need the images' {kind}s, which {data.name} has not"
        )
    return known[rows] if kind == "label" else [known[row] for row in rows.tolist()]
