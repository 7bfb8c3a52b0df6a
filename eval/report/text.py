"""A comparison as text: CSV for programs, Markdown for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eval.table.formatting import text_of
from eval.table.ranking import BEST, ranks
from eval.table.table import Table
from eval.table.verdict import note as verdict_note
from eval.table.verdict import sentences
from zoo.system.text import csv_text, markdown_table, markdown_text

_WORDS = {2: "two", 3: "three", 4: "four", 5: "five"}
_BOLD = (
    "Bold: the best value of a column, which does not mean that its difference to the next is "
    "larger than chance."
)


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
    """The table with its budget, protocol and definitions."""
    lines = [f"# {markdown_text(title)}", "", f"Made by `{command}`.", "", *rows_markdown(table)]
    if table.mismatches:
        lines += ["", "**Forced: these rows differ in protocol or budget.**", ""]
        lines += _items(map(str, table.mismatches))
    if table.warnings:
        lines += ["", "Warnings:", "", *_items(table.warnings)]
    lines += _verdicts(table)
    for heading, record in (("Budget", table.budget), ("Protocol", table.protocol)):
        lines += ["", f"## {heading}", ""]
        lines += [f"- {field}: {markdown_text(text_of(value))}" for field, value in record.items()]
    lines += ["", "## What the columns mean", ""]
    lines += [
        f"- **{markdown_text(column.title)}**: {markdown_text(column.definition)}"
        for column in table.columns
        if column.definition
    ]
    return "\n".join(lines) + "\n"


def rows_markdown(table: Table) -> list[str]:
    """The lines of the table itself, and of what its bold numbers mean."""
    indices = [i for i, column in enumerate(table.columns) if column.on_page]
    best = {i: [rank.place == BEST for rank in ranks(table, i)] for i in indices}
    rows = []
    for row, (_, cells) in enumerate(table.rows):
        texts = [f"**{cells[i].text}**" if best[i][row] else cells[i].text for i in indices]
        notes = [cells[i].note for i in indices]
        rows.append([f"{t} ({note})" if note else t for t, note in zip(texts, notes, strict=True)])
    lines = [markdown_table([table.columns[i].title for i in indices], rows)]
    return [*lines, "", _BOLD] if any(map(any, best.values())) else lines


def _verdicts(table: Table) -> list[str]:
    if not table.verdicts:
        return []
    lines = [
        "",
        "## Which mismatches are more than chance?",
        "",
        markdown_text(verdict_note(table.verdicts)),
    ]
    titles = {column.key: column.title for column in table.columns}
    for metric, texts in sentences(table.verdicts).items():
        lines += ["", f"{markdown_text(titles[metric])}:", "", *_items(texts)]
    return lines


def _items(texts: Iterable[str]) -> list[str]:
    return [f"- {markdown_text(text)}" for text in texts]
