"""The cells and columns of a comparison's table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eval.result.record import Result


@dataclass(frozen=True)
class Cell:
    """One cell: ``value`` for machines, ``text`` for people, ``note`` in small print below it."""

    value: float | int | str | None
    text: str
    note: str = ""  # its parts separated by " · "


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: its name in CSV files.
        title: its name on pages.
        definition: what it means, for a newcomer.
        cell: makes the cell from a result.
        on_page: False for columns that a page shows as another cell's note.
        higher_is_better: the direction of quality, or None.
        of_cost: whether it is about a model's cost rather than its quality.
        in_section: whether a page shows it in a section of its own.
        note: what all of its cells share, in small print below the title, separated by " · ".
    """

    key: str
    title: str
    definition: str
    cell: Callable[[Result], Cell]
    on_page: bool = True
    higher_is_better: bool | None = None
    of_cost: bool = False
    in_section: bool = False
    note: str = ""
