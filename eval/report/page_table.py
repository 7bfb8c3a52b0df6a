"""The page's tables: how good each model is, and what it cost."""

from __future__ import annotations

from html import escape

from eval.table.column import Cell, Column
from eval.table.ranking import BEST, LEVEL, Standing, standings
from eval.table.table import Table


def quality(table: Table) -> str:
    """Every metric of every row, sortable."""
    shown = [i for i, c in enumerate(table.columns) if c.on_page and not c.of_cost]
    sortable = _sortable(table, shown, "The comparison")
    return (
        f'<section><h2>The comparison</h2>{sortable}<p class="quiet">Click a heading to sort. '
        f"↓ lower is better, ↑ higher is better. {_marks(table)} Every column is explained "
        '<a href="#definitions">below</a>.</p></section>'
    )


def cost(table: Table) -> str:
    """Size, training and sampling of every row; nothing where none of it is known."""
    known = any(
        isinstance(cells[i].value, int | float)
        for _, cells in table.rows
        for i, c in enumerate(table.columns)
        if c.of_cost
    )
    shown = [i for i, c in enumerate(table.columns) if c.on_page and (c.of_cost or i == 0)]
    if not known:
        return ""
    return (
        "<section><h2>What each model costs</h2>"
        f"{_sortable(table, shown, 'What each model costs')}</section>"
    )


def _marks(table: Table) -> str:
    if table.differences:
        return "No value is marked as the best, for these rows do not answer the same question."
    if not table.verdicts:
        return (
            'The best value of a column is <b class="best">marked</b>, which does not say that the '
            "difference to the next is larger than chance."
        )
    return (
        'The best value of a column is <b class="best">filled</b>; one that cannot be told apart '
        'from it is <b class="level">outlined</b> (<a href="#verdicts">how this was tested</a>).'
    )


def _sortable(table: Table, shown: list[int], label: str) -> str:
    heads = "".join(_head(table, i) for i in shown)
    places = {i: standings(table, i) for i in shown}
    differing = {difference.row for difference in table.differences}
    rows = []
    for row, (name, cells) in enumerate(table.rows):
        marks = ' class="differs"' if name in differing else ""
        filled = "".join(_cell(cells[i], table.columns[i], row, places[i][row]) for i in shown)
        rows.append(f"<tr{marks}>{filled}</tr>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<table class="sortable"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _head(table: Table, index: int) -> str:
    column = table.columns[index]
    numbers = all(not isinstance(cells[index].value, str) for _, cells in table.rows)
    first = "descending" if column.higher_is_better else "ascending"
    return (
        f'<th scope="col" aria-sort="none" data-first="{first}"'
        f'{_number(numbers)}><button type="button" title="{escape(column.definition)}">'
        f"{_heading(column)}</button></th>"
    )


def _heading(column: Column) -> str:
    """Broken between words only, and not before the arrow."""
    title = column.title.replace("-", "\u2011").replace(" = ", "\u00a0=\u00a0")
    return escape(title.replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓"))


def _number(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _cell(cell: Cell, column: Column, row: int, standing: Standing) -> str:
    number = not isinstance(cell.value, str)
    key = escape("" if cell.value is None else str(cell.value))
    note = "".join(map(_small, filter(None, cell.note.split(" · "))))
    text = escape(cell.text)
    if column.key == "model":
        dot = f'<i class="dot s{row % 8}"></i>'
        breakable = text.replace("_", "_<wbr>")
        return f'<th scope="row" data-key="{key}">{dot}{breakable}{note}</th>'
    if standing.place in (BEST, LEVEL):
        text = f'<b class="{standing.place}" title="{escape(standing.said)}">{text}</b>'
    return f'<td{_number(number)} data-key="{key}">{text}{note}</td>'


def _small(note: str) -> str:
    """A note, on one line where it is short."""
    long = ' class="long"' if len(note) > 46 else ""
    return f"<small{long}>{escape(note)}</small>"
