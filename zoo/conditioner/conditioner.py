"""The contract of a conditioner: a raw condition in, what a denoiser reads out."""

from __future__ import annotations

from typing import Protocol

from zoo.draw import Draw
from zoo.records import Condition, Raw


class Conditioner(Protocol):
    """Turns labels or captions into a ``Condition``.

    One attribute more is read where it is there: ``conditional``, False of one that reads none.

    Attributes:
        dropout: the share of training examples whose condition is replaced by the null one.
        num_classes: how many labels there are, or None where conditions are no labels.
    """

    dropout: float
    num_classes: int | None

    def __call__(self, raw: Raw, draw: Draw | None = None) -> Condition:
        """The condition of B examples; with a draw, some are dropped."""

    def null(self, size: int) -> Condition:
        """``size`` null conditions.

        Raises:
            ValueError: the model was trained without dropout and knows no null condition.
        """

    def random(self, draw: Draw) -> Raw:
        """A random raw condition per image of ``draw``."""
