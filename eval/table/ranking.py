"""The rank of each row of a table in a column: best, not distinguishable from it, or behind."""

from __future__ import annotations

from dataclasses import dataclass

from eval.result.uncertainty import EQUAL
from eval.table.table import Table
from eval.table.verdict import p_text

BEST, LEVEL = "best", "level"


@dataclass(frozen=True)
class Rank:
    """A row's rank in one column.

    Attributes:
        place: ``BEST``; ``LEVEL`` where it is not distinguishable from the best; else "".
        note: the same in words, with p and what the verdict is about; "" where nothing was tested.
    """

    place: str = ""
    note: str = ""


def ranks(table: Table, index: int) -> list[Rank]:
    """Every row's rank in the column of this index.

    Nothing is best where the column has no direction, where all are equal, or where rows were
    forced into one table: their numbers do not answer the same question.
    """
    column = table.columns[index]
    cells = [cells[index].value for _, cells in table.rows]
    numbers = [number for number in cells if isinstance(number, int | float)]
    if column.higher_is_better is None or table.mismatches or len(set(numbers)) < 2:
        return [Rank() for _ in cells]
    top = max(numbers) if column.higher_is_better else min(numbers)
    leader = table.rows[cells.index(top)][0]
    behind = _behind(table, column.key, leader)
    return [
        Rank(BEST, "best" if behind else "") if number == top else behind.get(name, Rank())
        for (name, _), number in zip(table.rows, cells, strict=True)
    ]


def _behind(table: Table, metric: str, leader: str) -> dict[str, Rank]:
    """The ranks of the other rows, from their verdicts with the leader."""
    by_name = {}
    for verdict in table.verdicts:
        if verdict.metric != metric or leader not in (verdict.first, verdict.second):
            continue
        name = verdict.second if verdict.first == leader else verdict.first
        p = p_text(verdict.difference.adjusted)
        if verdict.outcome == EQUAL:
            by_name[name] = Rank(LEVEL, f"{verdict.of}: {EQUAL} from {leader} ({p})")
        else:
            gap = abs(verdict.difference.value)
            by_name[name] = Rank("", f"{verdict.of}: worse than {leader} by {gap:.3g} ({p})")
    return by_name
