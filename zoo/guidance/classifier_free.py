"""Classifier-free guidance (arXiv:2207.12598)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.guidance.interval import Interval
from zoo.guidance.unguided import Unguided
from zoo.part import Part
from zoo.records import Clip, Condition, Level, Predict, Prediction, RawPredict


class ClassifierFree(Part):
    """Mixes x0 of the conditional and the null prediction: lerp(null, conditional, scale).

    The scale is that of latent diffusion: 0 is unconditional, 1 conditional, above 1 guided;
    the paper's w is scale - 1. Mixing x0 equals mixing the network's outputs, for both are linear
    readings of one x. ``torch.lerp`` is exact at 0 and 1. Two evaluations are made where they are
    needed: not at scale 1 nor outside the interval, where the conditional one serves, nor at 0.
    A learned variance is the conditional prediction's.

    Args:
        scale: of the guidance.
        rescale: phi of arXiv:2305.08891, section 3.4: from 0, none, to 1, each image's guided
            output gets the standard deviation of the conditional one. Done on the network's output
            whatever it means, as published; on x0 it would be something else.
        interval: guide between these levels only, both included (arXiv:2404.07724); None: at all.
        interval_in: what ``interval`` is in: t, log_snr, or sigma (of x / alpha).
        channels: guide so many channels, from the first; the others stay conditional. GLIDE and
            DiT guide 3. None guides all.
        batched: evaluate both in one call of twice the batch, or one after the other in half the
            memory.

    Raises:
        ValueError: a setting out of its range.
    """

    def __init__(
        self,
        scale: float = 1.0,
        rescale: float = 0.0,
        interval: Sequence[float] | None = None,
        interval_in: str = "t",
        channels: int | None = None,
        batched: bool = True,
    ) -> None:
        if scale < 0:
            raise ValueError(
                "the guidance scale must not be negative (0 unconditional, 1 conditional), "
                f"got {scale}"
            )
        if not 0 <= rescale <= 1:
            raise ValueError(f"rescale lies between 0 (none) and 1 (all), got {rescale}")
        if channels is not None and channels < 1:
            raise ValueError(f"at least 1 channel is guided, or all with null; got {channels}")
        self.scale, self.rescale = scale, rescale
        self.interval, self.interval_in = interval, interval_in
        self.channels, self.batched = channels, batched
        Interval(interval, interval_in)  # refuses impossible bounds

    @property
    def needs_null(self) -> bool:
        return self.scale != 1

    def __call__(
        self, predict: RawPredict, condition: Condition, null: Condition | None, clip: Clip
    ) -> Predict:
        plain = Unguided()(predict, condition, null, clip)
        if self.scale == 1:
            return plain
        if null is None:
            raise ValueError("classifier-free guidance needs a null condition, got none")
        levels = Interval(self.interval, self.interval_in)
        if self.scale == 0 and self.rescale == 0 and self.channels is None:
            mixed = Unguided()(predict, null, None, clip)
        else:
            mixed = self._mixed(predict, condition, null, clip)

        def guided(x: Tensor, level: Level) -> Prediction:
            return mixed(x, level) if level in levels else plain(x, level)

        return guided

    def _mixed(
        self, predict: RawPredict, condition: Condition, null: Condition, clip: Clip
    ) -> Predict:
        both = Condition.cat([null, condition]) if self.batched else None

        def mixed(x: Tensor, level: Level) -> Prediction:
            if both is None:
                unconditional = predict(x, level, null)
                conditional = predict(x, level, condition)
            else:
                unconditional, conditional = _halves(predict(torch.cat([x, x]), level, both))
            x0 = torch.lerp(unconditional.x0, conditional.x0, self.scale)
            if self.channels is not None:
                x0 = torch.cat([x0[:, : self.channels], conditional.x0[:, self.channels :]], dim=1)
            if self.rescale:
                x0 = rescaled(x0, conditional, x, self.rescale)
            return conditional._replace(x0=clip(x0))

        return mixed


def rescaled(x0: Tensor, conditional: Prediction, x: Tensor, share: float) -> Tensor:
    """x0 of the guided output whose deviation is moved towards the conditional one's.

    Equation 15 and 16 of arXiv:2305.08891. x0 = c_x x + c_out output, hence an output's factor is
    that of x0 - c_x x, and c_out cancels.

    Args:
        x0: guided, (B, C, h, w).
        conditional: with the ``reading`` of the network's output.
        x: what both were predicted at.
        share: phi, 0 to 1.

    Raises:
        ValueError: the prediction does not say how an output is read.
    """
    if conditional.reading is None:
        raise ValueError(
            "rescale needs to know how x0 is read off the network's output, which this prediction "
            "does not say (Prediction.reading): set rescale=0"
        )
    base = conditional.reading[0] * x
    guided, target = x0 - base, conditional.x0 - base
    dims = list(range(1, x.ndim))
    ratio = target.std(dims, keepdim=True) / guided.std(dims, keepdim=True)
    return base + guided * torch.lerp(torch.ones_like(ratio), ratio, share)


def _halves(prediction: Prediction) -> tuple[Prediction, Prediction]:
    first, second = prediction.x0.chunk(2)
    fraction = prediction.variance_fraction
    fractions = fraction.chunk(2) if isinstance(fraction, Tensor) else (fraction, fraction)
    return (
        prediction._replace(x0=first, variance_fraction=fractions[0]),
        prediction._replace(x0=second, variance_fraction=fractions[1]),
    )
