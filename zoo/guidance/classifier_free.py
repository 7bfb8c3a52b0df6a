"""Classifier-free guidance (arXiv:2207.12598)."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.part import Part
from zoo.records import Clip, Condition, Level, Predict, Prediction, RawPredict


class ClassifierFree(Part):
    """Mixes x0 of the conditional and the null prediction: lerp(null, conditional, scale).

    The scale is that of latent diffusion: 0 is unconditional, 1 conditional, above 1 guided;
    the paper's w is scale - 1. Mixing x0 equals mixing noise predictions, for both are linear
    readings of one x. ``torch.lerp`` is exact at 0 and 1, where one evaluation serves; elsewhere
    two are made, in one call of twice the batch. A learned variance is the conditional one's.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if scale < 0:
            raise ValueError(
                "the guidance scale must not be negative (0 unconditional, 1 conditional), "
                f"got {scale}"
            )
        self.scale = scale

    @property
    def needs_null(self) -> bool:
        return self.scale != 1

    def __call__(
        self, predict: RawPredict, condition: Condition, null: Condition | None, clip: Clip
    ) -> Predict:
        if self.scale == 1 or null is None:
            both = condition
        elif self.scale == 0:
            both = null
        else:
            both = Condition.cat([null, condition])

        def guided(x: Tensor, level: Level) -> Prediction:
            if self.scale in (0, 1):
                prediction = predict(x, level, both)
                return prediction._replace(x0=clip(prediction.x0))
            prediction = predict(torch.cat([x, x]), level, both)
            unconditional, conditional = prediction.x0.chunk(2)
            fraction = prediction.variance_fraction
            if isinstance(fraction, Tensor):
                fraction = fraction.chunk(2)[1]
            return Prediction(clip(torch.lerp(unconditional, conditional, self.scale)), fraction)

        return guided
