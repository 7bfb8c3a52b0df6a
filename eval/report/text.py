"""A comparison as text: CSV for programs, Markdown for people."""

from __future__ import annotations

from collections.abc import Sequence

from eval.report.legend import legend
from eval.result.record import Result
from eval.table.column import Column
from eval.table.formatting import date, machine, measured, notes, text_of, title_of
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
    one_line,
)

_BESIDE = (
    "results.csv has every number unrounded and, where they exist, beside NUMBER: NUMBER_low and "
    "NUMBER_high, its 95 % interval; NUMBER_standard_error; NUMBER_corrected, without the bias of "
    "its count; NUMBER_floor, of NUMBER_floor_images held-out images; NUMBER_ceiling; "
    "NUMBER_chance."
)
_WORDS = {2: "two", 3: "three", 4: "four", 5: "five"}


def comparison_title(data: str, table: Table, trainings: Sequence[int]) -> str:
    """Such as "Two diffusion models on digits, one budget, three trainings each"."""
    models = len(trainings)
    title = f"One diffusion model on {data}"
    if models > 1:
        count = _WORDS.get(models, str(models)).capitalize()
        title = f"{count} diffusion models on {data}"
        title += ", one budget" if table.one_budget else ""
    each = "" if models == 1 else " each"
    alike = len(set(trainings)) == 1 and trainings[0] > 1
    return title + (f", {_WORDS.get(trainings[0], trainings[0])} trainings{each}" if alike else "")


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
    cost = [i for i, column in enumerate(table.columns) if column.on_page and column.of_cost]
    lines = [f"# {markdown_text(title)}", "", *_made(table, command), "", *rows_markdown(table)]
    if table.mismatches:
        lines += ["", "**Forced: these rows differ in protocol or budget.**", ""]
        lines += markdown_items(map(str, table.mismatches))
    if table.warnings:
        lines += ["", "Warnings:", "", *markdown_items(table.warnings)]
    if cost:
        lines += ["", "## What each model costs", "", *_rows(table, [0, *cost], marked=False)]
    lines += _verdicts(table)
    for heading, record in (("Budget", table.budget), ("Protocol", table.protocol)):
        items = [f"{field}: {text_of(value)}" for field, value in record.items() if value != ""]
        lines += ["", f"## {heading}", "", *markdown_items(items)]
    lines += ["", "## What the columns mean", "", *_definitions(table)]
    lines += ["", markdown_text(_BESIDE)]
    return "\n".join(lines) + "\n"


def rows_markdown(table: Table) -> list[str]:
    """The lines of the table of quality, and of how it is read."""
    columns = enumerate(table.columns)
    lines = _rows(table, [i for i, column in columns if column.on_page and not column.of_cost])
    return [*lines, "", "How to read it:", "", *markdown_items(legend(table))]


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


def _rows(table: Table, indices: Sequence[int], marked: bool = True) -> list[str]:
    """One table: a number in each cell; what is beside a number stands below the table.

    Names have their own notes where ``marked``, which is once.
    """
    places = {i: ranks(table, i) for i in indices}
    rows, remarks = [], []
    for row, (name, cells) in enumerate(table.rows):
        texts, beside = [], []
        for i in indices:
            cell, text = cells[i], markdown_text(cells[i].text)
            if places[i][row].place:
                text = Markdown(f"**{text}**")
            note = cell.note.replace(" · ", ", ") if i or marked else ""
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


def summary(result: Result) -> str:
    """The numbers in lines for a terminal."""
    lines = []
    for name, value in result.values.items():
        beside = notes(value)
        if value.column == "cost":
            beside.append(f"on {machine(result.environment.machine)}")
        brackets = f" ({', '.join(beside)})" if beside else ""
        lines.append(f"{title_of(name, value)}: {measured(value)}{brackets}")
    lines += [f"{name}: {reason}" for name, reason in result.absent.items()]
    indented = [f"  {one_line(line)}" for line in lines]  # nothing moves a terminal's cursor
    return "\n".join([f"{one_line(result.subject.name)}:", *indented])
