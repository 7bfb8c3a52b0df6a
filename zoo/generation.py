"""Generation of images, and the bound on their likelihood, by any ``Model``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from zoo.conditioner import Conditioner
from zoo.diffusion.bound import Bound, variational_bound
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.draw import Draw
from zoo.first_stage import FirstStage
from zoo.guidance import Guidance, Unguided, networks, num_classes
from zoo.performance.layout import arrange_to_generate
from zoo.records import Condition, Level, Prediction, Raw, check_counts
from zoo.sampler import Sampler, grid
from zoo.sampler.sampler import warn_of_early_start
from zoo.system.progress import Meter
from zoo.system.tensors import IMAGES, check_floats
from zoo.trainable import evaluation_mode


class Model(Protocol):
    """A diffusion model as generation and the checks of its parts see it: ``DiffusionModule``."""

    denoiser: nn.Module
    diffusion: GaussianDiffusion
    first_stage: FirstStage
    conditioner: Conditioner
    guidance: Guidance
    sampler: Sampler
    image_shape: list[int]
    latent_shape: tuple[int, int, int]
    training: bool

    @property
    def device(self) -> torch.device:
        """The device it computes on."""

    def train(self, mode: bool = True) -> object:
        """Training or evaluation mode."""

    def predict(
        self, x: Tensor, t: float | Tensor | Level, condition: Condition | None = None
    ) -> Prediction:
        """Its estimate at x and a noise level; x0 is not clipped."""

    def clip(self, x0: Tensor) -> Tensor:
        """x0 within the first stage's bounds."""

    def check_guidance(self, guidance: Guidance, negative: bool = False) -> None:
        """Raises ValueError where ``guidance`` needs what this model lacks."""

    def check_condition(self, condition: Raw | Condition, guidance: Guidance) -> None:
        """Raises ValueError where neither this model nor ``guidance`` reads the condition."""


def generate_batches(
    module: Model,
    num_images: int,
    condition: Raw | Condition = None,
    sampler: Sampler | None = None,
    guidance: Guidance | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    *,
    indices: Sequence[int] | None = None,
    negative: Raw = None,
    on_step: Callable[[], None] | None = None,
) -> Iterator[Tensor]:
    """``DiffusionModule.generate``, a batch at a time."""
    sampler = sampler if sampler is not None else module.sampler
    guidance = guidance if guidance is not None else module.guidance
    module.check_guidance(guidance, negative is not None)
    module.check_condition(condition, guidance)
    arrange_to_generate(module)
    for _, network in networks(guidance):
        network.to(module.device)
    indices = list(range(num_images) if indices is None else indices)
    check_counts(num_images, indices=indices, condition=condition, negative=negative)
    levels = sampler.levels(module.diffusion.schedule)
    warn_of_early_start(levels, module.diffusion.schedule)
    size = batch_size or max(1, num_images)
    for first in range(0, num_images, size):
        rows = slice(first, min(first + size, num_images))
        raw = None if condition is None else condition[rows]
        away = None if negative is None else negative[rows]
        yield _batch(
            module, indices[rows], raw, away, sampler, levels, guidance, seed, on_step
        )  # fmt: skip


@torch.inference_mode()
def _batch(
    module: Model,
    indices: Sequence[int],
    raw: Raw | Condition,
    negative: Raw,
    sampler: Sampler,
    levels: list[Level],
    guidance: Guidance,
    seed: int,
    on_step: Callable[[], None] | None,
) -> Tensor:
    """Images (B, C, H, W) uint8 on the CPU: draws, condition, levels, walk, decode.

    Raises:
        BrokenImages: an image holds NaN.
    """
    schedule = module.diffusion.schedule
    with evaluation_mode(module):
        condition = _condition(module, raw, indices, seed, num_classes(guidance))
        null = None
        if guidance.needs_null:
            conditioner = module.conditioner
            null = conditioner.null(len(indices)) if negative is None else conditioner(negative)
            null = null.to(module.device)
        predict = guidance(module.predict, condition, null, module.clip)
        like = torch.empty(len(indices), *module.latent_shape, device=module.device)
        x = sampler.start(Draw(seed, indices, "start").normal(like), levels[0])
        walk = sampler.steps(predict, x, levels, Draw(seed, indices, "steps"), schedule)
        for latents in walk:  # noqa: B007 (the last is decoded)
            if on_step is not None:
                on_step()
        images = module.first_stage.decode(latents)
        _check(images, indices, seed)
        return to_uint8(images).cpu()


def _condition(
    module: Model,
    raw: Raw | Condition,
    indices: Sequence[int],
    seed: int,
    num_classes: int | None = None,
) -> Condition:
    """The condition that the denoiser reads for images of these indices, on the model's device.

    Args:
        module: the model.
        raw: labels, captions or a ready ``Condition``; drawn from seed and index when None.
        indices: of the images.
        seed: of the draw.
        num_classes: of a guidance that reads labels which an unconditional model does not.
    """
    if isinstance(raw, Condition):
        return raw.to(module.device)
    if raw is None:
        raw = random_condition(module, indices, seed, num_classes)
    return module.conditioner(raw).to(module.device)


def random_condition(
    module: Model, indices: Sequence[int], seed: int, num_classes: int | None = None
) -> Raw:
    """The labels or captions of images for which none are named, as ``generate`` draws them.

    The arguments are those of ``_condition``; None for an unconditional model without labels.
    """
    draw = Draw(seed, indices, "condition")
    raw = module.conditioner.random(draw)
    if raw is None and num_classes is not None:  # the guidance alone knows labels
        raw = draw.integers(num_classes)
    return raw


@torch.inference_mode()
def bound(
    module: Model,
    images: Tensor,
    condition: Raw | Condition = None,
    num_steps: int | None = None,
    seed: int = 0,
    *,
    indices: Sequence[int] | None = None,
) -> Bound:
    """The variational bound term by term, in bits per dimension of 8-bit images.

    x0 is clipped to [-1, 1] as in the papers' evaluations.

    Args:
        module: the model.
        images: (B, C, H, W) in [-1, 1].
        condition: B labels or captions, for a conditional model.
        num_steps: of the chain (trailing grid); the schedule's own T when None.
        seed: of the noise.
        indices: the images' indices, which with the seed fix their noise.

    Raises:
        ValueError: the model diffuses latents, which have no bins; the images are not float32 or
            float64 of the model's shape in [-1, 1]; or the counts disagree.
    """
    if module.first_stage.bounds is None:
        raise ValueError("bits per dimension need a pixel model: latents are not 8-bit values")
    check_floats(images, "images", (None, *module.image_shape), bounded=True, remedy=IMAGES)
    check_counts(len(images), indices=indices, condition=condition)
    module.check_condition(condition, Unguided())
    schedule = module.diffusion.schedule
    levels = schedule.levels(grid.trailing(schedule, num_steps or int(schedule.end)))
    indices = list(range(len(images)) if indices is None else indices)
    with evaluation_mode(module):
        conditions = _condition(module, condition, indices, seed)
        predict = Unguided()(module.predict, conditions, None, module.clip)
        draw = Draw(seed, indices, "likelihood")
        return variational_bound(module.diffusion, predict, images.to(module.device), levels, draw)


class BrokenImages(ValueError):
    """Generated images hold NaN."""


def _check(images: Tensor, indices: Sequence[int], seed: int) -> None:
    """Refuses NaN, which would be an inconspicuous black pixel."""
    broken = images.isnan().flatten(1).any(dim=1)
    if broken.any():
        first = indices[int(broken.nonzero()[0])]
        raise BrokenImages(
            f"{int(broken.sum())} of {len(images)} generated images hold NaN, the first is image "
            f"{first} of seed {seed}: the weights may have diverged in training, or a number "
            "format is too narrow; try dtype=float32, another checkpoint, or another sampler"
        )


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to 0..255, rounded to the nearest."""
    return ((images.float() + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)


@contextmanager
def sampling(
    module: Model, num_images: int, batch_size: int, sampler: Sampler | None = None
) -> Iterator[Callable[[], None]]:
    """Within, an ``on_step`` for ``module.generate`` that shows its steps over all batches.

    The arguments are ``generate``'s.
    """
    sampler = sampler if sampler is not None else module.sampler
    steps = len(sampler.levels(module.diffusion.schedule)) - 1
    total = -(-num_images // batch_size) * steps
    with Meter(total, f"sampling {num_images} images", "steps") as meter:
        yield meter.advance
