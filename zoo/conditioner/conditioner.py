"""The contract of a conditioner: a raw condition in, what a denoiser reads out."""

from __future__ import annotations

from typing import Protocol

from zoo.draw import Draw
from zoo.records import Condition, Raw


class Conditioner(Protocol):
    """Turns labels or captions into a ``Condition``.

    One more attribute is read where it exists: ``conditional``, False of one that reads none.
    """

    @property
    def dropout(self) -> float:
        """The share of training examples whose condition is replaced by the null one."""

    @property
    def num_classes(self) -> int | None:
        """The number of labels, or None where conditions are no labels."""

    def __call__(self, raw: Raw, draw: Draw | None = None) -> Condition:
        """The condition of B examples; with a draw, some are dropped."""

    def null(self, size: int) -> Condition:
        """``size`` null conditions.

        Raises:
            ValueError: the model was trained without dropout and knows no null condition.
        """

    def random(self, draw: Draw) -> Raw:
        """A random raw condition per image of ``draw``."""


def is_conditional(conditioner: object) -> bool:
    """Whether a conditioner reads labels, captions or images."""
    return bool(getattr(conditioner, "conditional", True))
