"""The rank of each row of a table in a column: best, not distinguishable from it, or behind."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eval.result.uncertainty import EQUAL
from eval.table.table import Table
from eval.table.verdict import p_text

BEST, LEVEL = "best", "level"


@dataclass(frozen=True)
class Rank:
    """A row's rank in one column.

    Attributes:
        place: ``BEST``; ``LEVEL`` where it is not distinguishable from the best; else "". Where no
            row is distinguishable from the best, there is none: all are "".
        note: the same in words, with p and what the verdict is about; "" where nothing was tested.
    """

    place: str = ""
    note: str = ""


def ranks(table: Table, index: int) -> list[Rank]:
    """Every row's rank in the column of this index.

    A row is best only where the column's verdicts say that it is better than another. There are
    none of a column without a direction, of one whose chance is unknown, or of rows that were
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
    decided = any(rank.place != LEVEL for rank in behind.values())
    by_name = {leader: Rank(BEST, "best")} | behind if decided else behind
    return [
        replace(rank, place=rank.place if decided else "")
        for rank in (by_name.get(name, Rank()) for name, _ in table.rows)
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
