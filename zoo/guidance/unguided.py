"""No guidance: the conditional prediction as it is."""

from __future__ import annotations

from torch import Tensor

from zoo.part import Part
from zoo.records import Clip, Condition, Level, Predict, Prediction, RawPredict


class Unguided(Part):
    """One network evaluation per prediction."""

    needs_null = False
    scale = 1.0

    def __call__(
        self, predict: RawPredict, condition: Condition, null: Condition | None, clip: Clip
    ) -> Predict:
        def guided(x: Tensor, level: Level) -> Prediction:
            # not by _replace, which takes twice as long: this is done in every step
            x0, fraction, score, reading = predict(x, level, condition)
            return Prediction(clip(x0), fraction, score, reading)

        return guided
