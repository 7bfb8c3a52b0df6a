"""A comparison as text: CSV for programs, Markdown for people."""

from __future__ import annotations

from collections.abc import Sequence

from eval.report.legend import legend
from eval.table.column import Column
from eval.table.formatting import date, machine, text_of
from eval.table.ranking import ranks
from eval.table.table import Table
from eval.table.verdict import note as verdict_note
from eval.table.verdict import sentences
from zoo.system.text import (
    Markdown,
    csv_text,
    markdown_code,
    markdown_items,
    markdown_table,
    markdown_text,
)

_BESIDE = (
    "results.csv has every number unrounded and, where they exist, beside NUMBER: NUMBER_low and "
    "NUMBER_high, its 95 % interval; NUMBER_standard_error; NUMBER_corrected, without the bias of "
    "its count; NUMBER_floor, of NUMBER_floor_images held-out images; NUMBER_ceiling; "
    "NUMBER_chance."
)


def to_csv(table: Table) -> str:
    """One row per model with unrounded numbers, and the mismatches where rows were forced."""
    heads = [column.key for column in table.columns]
    rows = [[cell.value for cell in cells] for _, cells in table.rows]
    if table.mismatches:
        heads.append("differs_in")
        for row, (name, _) in zip(rows, table.rows, strict=True):
            row.append("; ".join(str(m) for m in table.mismatches if m.row == name))
    return csv_text(heads, rows)


def to_markdown(table: Table, title: str, command: str) -> str:
    """The table with its legend, budget, protocol and definitions."""
    on_page = [i for i, column in enumerate(table.columns) if column.on_page]
    cost = [i for i in on_page if table.columns[i].of_cost]
    quality = [i for i in on_page if i not in cost]
    lines = [f"# {markdown_text(title)}", "", *_made(table, command), "", *_rows(table, quality)]
    lines += ["", "How to read it:", "", *markdown_items(legend(table))]
    if table.mismatches:
        lines += ["", "**Forced: these rows differ in protocol or budget.**", ""]
        lines += markdown_items(map(str, table.mismatches))
    if table.warnings:
        lines += ["", "Warnings:", "", *markdown_items(table.warnings)]
    if cost:
        lines += ["", "## What each model costs", "", *_rows(table, [0, *cost])]
    lines += _verdicts(table)
    for heading, record in (("Budget", table.budget), ("Protocol", table.protocol)):
        items = [f"{field}: {text_of(value)}" for field, value in record.items() if value != ""]
        lines += ["", f"## {heading}", "", *markdown_items(items)]
    lines += ["", "## What the columns mean", "", *_definitions(table)]
    lines += ["", markdown_text(_BESIDE)]
    return "\n".join(lines) + "\n"


def head(column: Column) -> str:
    """A column's title with what all of its cells share."""
    return f"{column.title} ({column.note.replace(' · ', ', ')})" if column.note else column.title


def _made(table: Table, command: str) -> list[str]:
    """The command, and where and when it was run."""
    place = ""
    if table.environment is not None:
        name, time = machine(table.environment.machine), date(table.environment.time)
        place = f", measured on {name}, {time}"
    return [f"Made by {markdown_code(command)}{markdown_text(place)}."]


def _rows(table: Table, indices: Sequence[int]) -> list[str]:
    """One table: a number in each cell; what is beside a number stands below the table."""
    places = {i: ranks(table, i) for i in indices}
    rows, remarks = [], []
    for row, (name, cells) in enumerate(table.rows):
        texts, beside = [], []
        for i in indices:
            cell, text = cells[i], markdown_text(cells[i].text)
            if places[i][row].place:
                text = Markdown(f"**{text}**")
            note = cell.note.replace(" · ", ", ")
            if isinstance(cell.value, str):
                text = Markdown(f"{text} ({markdown_text(note)})") if note else text
            elif note:
                beside.append(f"{table.columns[i].title.rstrip(' ↑↓')}: {note}")
            texts.append(text)
        rows.append(texts)
        if beside:
            remarks.append(f"{name}: {'; '.join(beside)}")
    lines = [str(markdown_table([head(table.columns[i]) for i in indices], rows))]
    if remarks:
        lines += ["", "Beside these numbers:", "", *markdown_items(remarks)]
    return lines


def _definitions(table: Table) -> list[str]:
    return [
        f"- **{markdown_text(column.title)}**: {markdown_text(column.definition)}"
        for column in table.columns
        if column.definition and (column.on_page or column.in_section)
    ]


def _verdicts(table: Table) -> list[str]:
    if not table.verdicts:
        return []
    note = markdown_text(verdict_note(table.verdicts))
    lines = ["", "## Which differences are more than chance?", "", note]
    titles = {column.key: column.title for column in table.columns}
    for metric, texts in sentences(table.verdicts).items():
        lines += ["", f"{markdown_text(titles[metric])}:", "", *markdown_items(texts)]
    return lines
