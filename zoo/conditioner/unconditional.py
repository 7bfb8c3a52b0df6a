"""No condition."""

from __future__ import annotations

from zoo.draw import Draw
from zoo.part import Part
from zoo.records import Condition, Raw


class Unconditional(Part):
    """Ignores a batch's condition, but keeps it for guidance by another network."""

    conditional = False
    dropout = 0.0
    num_classes = None

    def __call__(self, raw: Raw, draw: Draw | None = None) -> Condition:
        return Condition(raw=raw)

    def null(self, size: int) -> Condition:
        return Condition()

    def random(self, draw: Draw) -> Raw:
        return None
