"""The points of a sweep: their settings, and which of them a line joins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.result.record import Result
from zoo.system.text import one_line


@dataclass(frozen=True)
class Point:
    """One point of a sweep.

    Attributes:
        settings: swept key to value, as text, in the order of the axes.
        result: of the evaluation there.
    """

    settings: dict[str, str]
    result: Result

    @property
    def evaluations(self) -> float:
        """Network evaluations per image, counted."""
        return self.result.subject.network_evaluations


def lines_of(points: Sequence[Point], along: str | None) -> list[tuple[str, list[Point]]]:
    """Points that differ in one axis alone; a line is named after the others."""

    def rest(point: Point) -> str:
        others = ((key, value) for key, value in point.settings.items() if key != along)
        return one_line(", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in others))

    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(rest(point), []).append(point)
    return [(name or "all", group) for name, group in groups.items()]


def numeric_axes(points: Sequence[Point]) -> list[str]:
    """The swept keys whose values are numbers."""

    def is_numeric(key: str) -> bool:
        try:
            [float(point.settings[key]) for point in points]
        except ValueError:
            return False
        return True

    return [key for key in points[0].settings if is_numeric(key)]
