"""How images come about: the order of draws, condition, guidance, walk and decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from zoo.conditioner import Conditioner
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.draw import Draw
from zoo.first_stage import FirstStage
from zoo.guidance import Guidance, num_classes
from zoo.records import Condition, Level, Prediction, Raw
from zoo.sampler import Sampler


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
        """Where it computes."""

    def train(self, mode: bool = True) -> object:
        """Training or evaluation mode."""

    def eval(self) -> object:
        """Evaluation mode."""

    def predict(
        self, x: Tensor, t: float | Tensor | Level, condition: Condition | None = None
    ) -> Prediction:
        """What it believes at x and a noise level; x0 is not clipped."""

    def clip(self, x0: Tensor) -> Tensor:
        """x0 within the first stage's bounds."""


@torch.inference_mode()
def one_batch(
    module: Model,
    indices: Sequence[int],
    raw: Raw | Condition,
    negative: Raw,
    sampler: Sampler,
    guidance: Guidance,
    seed: int,
    on_step: Callable[[], None] | None = None,
) -> Tensor:
    """Images (B, C, H, W) uint8 on the CPU: draws, condition, levels, walk, decode.

    Args:
        module: the model; left in the mode it was in.
        indices: of the images, which with the seed fix every draw.
        raw: their conditions; drawn when None.
        negative: raw conditions in place of the null one, or None.
        sampler: the walk.
        guidance: how predictions are mixed.
        seed: of every draw.
        on_step: called once after every step of the sampler.

    Raises:
        BrokenImages: an image holds NaN.
    """
    was_training = module.training
    module.eval()
    try:
        condition = condition_of(module, raw, indices, seed, num_classes(guidance))
        null = None
        if guidance.needs_null:
            null = (
                module.conditioner.null(len(indices))
                if negative is None
                else module.conditioner(negative)
            )
            null = null.to(module.device)
        predict = guidance(module.predict, condition, null, module.clip)
        levels = sampler.levels(module.diffusion.schedule)
        like = torch.empty(len(indices), *module.latent_shape, device=module.device)
        x = sampler.start(Draw(seed, indices, "start").normal(like), levels[0])
        walk = sampler.steps(
            predict, x, levels, Draw(seed, indices, "steps"), module.diffusion.schedule
        )
        for latents in walk:  # noqa: B007 (the last is decoded)
            if on_step is not None:
                on_step()
        images = module.first_stage.decode(latents)
        _check(images, indices, seed)
        return to_uint8(images).cpu()
    finally:
        module.train(was_training)


def condition_of(
    module: Model,
    raw: Raw | Condition,
    indices: Sequence[int],
    seed: int,
    num_classes: int | None = None,
) -> Condition:
    """What the denoiser reads for images of these indices, on the model's device.

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
        draw = Draw(seed, indices, "condition")
        raw = module.conditioner.random(draw)
        if raw is None and num_classes is not None:  # the guidance alone knows labels
            raw = draw.integers(num_classes)
    return module.conditioner(raw).to(module.device)


class BrokenImages(ValueError):
    """Generated images hold NaN."""


def _check(images: Tensor, indices: Sequence[int], seed: int) -> None:
    """Refuses NaN, which as a pixel would be black and go unseen."""
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
