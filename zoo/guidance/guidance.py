"""The contract of a guidance: a raw predict function in, one that a sampler can walk with out."""

from __future__ import annotations

from typing import Protocol

from zoo.records import Clip, Condition, Predict, RawPredict


class Guidance(Protocol):
    """Mixes predictions; samplers do not know it exists."""

    @property
    def needs_null(self) -> bool:
        """Whether a null condition is used, which a model must have been trained on."""

    def __call__(
        self, predict: RawPredict, condition: Condition, null: Condition | None, clip: Clip
    ) -> Predict:
        """Returns the guided predict; ``clip`` is applied once, after mixing.

        Args:
            predict: (x, level, condition) to a prediction that is not clipped.
            condition: of the images that will be made, (B, ...).
            null: the same number of null conditions; given where ``needs_null``.
            clip: x0 to x0.
        """
