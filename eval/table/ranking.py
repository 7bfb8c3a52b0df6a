"""Where each row of a table stands in a column: best, not distinguishable from it, or behind."""

from __future__ import annotations

from dataclasses import dataclass

from eval.table.table import Table

BEST, LEVEL = "best", "level"


@dataclass(frozen=True)
class Standing:
    """A row's place in one column.

    Attributes:
        place: ``BEST``; ``LEVEL`` where it is not distinguishable from the best; else "".
        said: the same in words, with p and of what it is said; "" where nothing was tested.
    """

    place: str = ""
    said: str = ""


def standings(table: Table, index: int) -> list[Standing]:
    """Every row's place in the column of this index.

    Nothing is best where the column has no direction, where there is no choice, or where rows were
    forced into one table: their numbers do not answer the same question.
    """
    column = table.columns[index]
    numbers = [cells[index].value for _, cells in table.rows]
    known = [number for number in numbers if isinstance(number, int | float)]
    if column.higher_is_better is None or table.differences or len(set(known)) < 2:
        return [Standing() for _ in numbers]
    top = max(known) if column.higher_is_better else min(known)
    leader = table.rows[numbers.index(top)][0]
    tested = _against(table, column.key, leader)
    return [
        Standing(BEST, "best" if tested else "") if number == top else tested.get(name, Standing())
        for (name, _), number in zip(table.rows, numbers, strict=True)
    ]


def _against(table: Table, metric: str, leader: str) -> dict[str, Standing]:
    """What the verdicts say of the other rows beside the leader."""
    found = {}
    for verdict in table.verdicts:
        if verdict.metric != metric or leader not in (verdict.first, verdict.second):
            continue
        other = verdict.second if verdict.first == leader else verdict.first
        p = chance(verdict.difference.adjusted)
        if verdict.said == "not distinguishable":
            said = f"{verdict.of}: not distinguishable from {leader} ({p})"
            found[other] = Standing(LEVEL, said)
        else:
            gap = abs(verdict.difference.value)
            found[other] = Standing("", f"{verdict.of}: worse than {leader} by {gap:.3g} ({p})")
    return found


def chance(p: float) -> str:
    """A p value in words.

    >>> chance(0.0004), chance(0.0312)
    ('p < 0.001', 'p = 0.031')
    """
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
