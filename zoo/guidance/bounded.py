"""Other bounds of x0 than the first stage's, or none."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from zoo.guidance.guidance import Guidance
from zoo.guidance.unguided import Unguided
from zoo.part import Part
from zoo.records import Clip, Condition, Predict, RawPredict


class Bounded(Part):
    """Another guidance, whose x0 is clipped to ``bounds`` in place of the first stage's own.

    Args:
        bounds: lowest and highest value; None does not clip.
        guidance: the bounded one; ``Unguided`` when None.

    Raises:
        ValueError: the bounds are not two ascending numbers.
    """

    def __init__(
        self, bounds: Sequence[float] | None = None, guidance: Guidance | None = None
    ) -> None:
        if bounds is not None and (len(bounds) != 2 or not bounds[0] < bounds[1]):
            raise ValueError(f"bounds must be two ascending numbers or None, got {bounds}")
        self.bounds = None if bounds is None else [float(bound) for bound in bounds]
        self.guidance: Guidance = guidance if guidance is not None else Unguided()

    @property
    def needs_null(self) -> bool:
        return self.guidance.needs_null

    @property
    def scale(self) -> float:
        """The guidance's own, for messages and captions."""
        return getattr(self.guidance, "scale", 1.0)

    def __call__(
        self, predict: RawPredict, condition: Condition, null: Condition | None, clip: Clip
    ) -> Predict:
        return self.guidance(predict, condition, null, self._clip)

    def _clip(self, x0: Tensor) -> Tensor:
        return x0 if self.bounds is None else x0.clamp(*self.bounds)
