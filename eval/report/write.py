"""A comparison as files: CSV for programs, Markdown, LaTeX, an HTML page, and one picture.

Pure on a table, its results and the sample grids: nothing is measured or loaded here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from eval.report.latex import to_latex
from eval.report.page import page
from eval.report.picture import side_by_side
from eval.result.record import Result
from eval.table.column import Column
from eval.table.formatting import is_frechet, short, title_of, told
from eval.table.ranking import BEST, standings
from eval.table.table import Table
from eval.table.verdict import note, sentences
from zoo.system.files import write_atomically

_BOLD = (
    "Bold: the best value of a column, which does not say that the difference to the next is "
    "larger than chance."
)


def write(
    folder: str | Path,
    table: Table,
    results: list[Result],
    samples: dict[str, bytes],
    title: str,
    command: str,
    pairs: Mapping[str, bytes] | None = None,
) -> dict[str, Path]:
    """Writes results.csv, .md and .tex, report.html and comparison.png into ``folder``.

    Args:
        folder: made where it is absent.
        table: of ``compare``.
        results: the rows' results, in the table's order.
        samples: name to PNG grid, of the same seeds and labels; names that are no rows (such as
            real images) are shown too, in the given order.
        title: of the page.
        command: what makes this comparison again.
        pairs: name to PNG of its closest pairs of generated and training image.

    Returns:
        file name to path.
    """
    folder = Path(folder)
    contents: dict[str, str | bytes] = {
        "results.csv": to_csv(table),
        "results.md": to_markdown(table, title, command),
        "results.tex": to_latex(table, title, command),
        "report.html": page(table, results, samples, title, command, pairs),
    }
    if samples:
        contents["comparison.png"] = side_by_side(samples, subtitles(results))
    return {name: write_atomically(folder / name, content) for name, content in contents.items()}


def to_csv(table: Table) -> str:
    """One row per model with unrounded numbers, and the differences where rows were forced."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    differences = _differences_by_row(table)
    extra = ["differs_in"] if table.differences else []
    writer.writerow([*(column.key for column in table.columns), *extra])
    for name, cells in table.rows:
        told = ["; ".join(differences.get(name, []))] if extra else []
        writer.writerow(["" if cell.value is None else cell.value for cell in cells] + told)
    return buffer.getvalue()


def to_markdown(table: Table, title: str, command: str) -> str:
    """The table with its budget, protocol and definitions."""
    shown = [(i, column) for i, column in enumerate(table.columns) if column.on_page]
    lines = [f"# {_plain(title)}", "", f"Made by `{command}`.", ""]
    lines += [_row([column.title for _, column in shown]), _row(["---"] * len(shown))]
    places = {i: standings(table, i) for i, _ in shown}
    for row, (_, cells) in enumerate(table.rows):
        best = {i: places[i][row].place == BEST for i, _ in shown}
        texts = [_cell_text(cells[i].text, cells[i].note, best[i]) for i, _ in shown]
        lines.append("| " + " | ".join(texts) + " |")
    if any(one.place == BEST for found in places.values() for one in found):
        lines += ["", _BOLD]
    if table.differences:
        lines += ["", "**Forced: these rows differ in protocol or budget.**", ""]
        lines += [f"- {_plain(str(difference))}" for difference in table.differences]
    if table.warnings:
        lines += ["", "Warnings:", ""] + [f"- {_plain(warning)}" for warning in table.warnings]
    if table.verdicts:
        lines += [
            "",
            "## Which differences are more than chance?",
            "",
            _plain(note(table.verdicts)),
        ]
    for metric, said in sentences(table.verdicts).items():
        title = next(column.title for column in table.columns if column.key == metric)
        lines += ["", f"{_plain(title)}:", ""] + [f"- {_plain(sentence)}" for sentence in said]
    for heading, record in (("Budget", table.budget), ("Protocol", table.protocol)):
        lines += ["", f"## {heading}", ""]
        lines += [f"- {field}: {_plain(told(value))}" for field, value in record.items()]
    lines += ["", "## What the columns mean", ""]
    lines += [f"- **{_plain(c.title)}**: {_plain(c.definition)}" for c in _defined(table)]
    return "\n".join(lines) + "\n"


def subtitles(results: list[Result]) -> dict[str, str]:
    """The first Fréchet distance of each result, in words, by name."""
    found = {}
    for result in results:
        for name, value in result.values.items():
            if is_frechet(name):
                found[result.subject.name] = f"{title_of(name, value)} {short(value.value)}"
                break
    return found


def _defined(table: Table) -> list[Column]:
    return [column for column in table.columns if column.definition]


def _differences_by_row(table: Table) -> dict[str, list[str]]:
    by_row: dict[str, list[str]] = {}
    for difference in table.differences:
        by_row.setdefault(difference.row, []).append(str(difference))
    return by_row


def _cell_text(text: str, note: str, best: bool) -> str:
    shown = f"**{_plain(text)}**" if best else _plain(text)
    return f"{shown} ({_plain(note)})" if note else shown


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text that cannot break out of a Markdown cell or become a tag."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|")
    return escaped.replace("<", "&lt;").replace("\n", " ")
