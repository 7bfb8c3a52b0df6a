"""A comparison as files: CSV for programs, Markdown, LaTeX, an HTML page, and one picture.

Everything is made of a table, its results and the sample grids; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eval.report.latex import to_latex
from eval.report.page import page
from eval.report.picture import side_by_side
from eval.report.text import to_csv, to_markdown
from eval.result.record import Result
from eval.table.formatting import has_ratio, short, title_of
from eval.table.table import Table
from zoo.system.files import write_atomically


def write_report(
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
        folder: created if necessary.
        table: of ``compare``.
        results: the rows' results, in the table's order.
        samples: name to PNG grid, of the same seeds and labels; other names, such as real images,
            are shown too, in their order.
        title: of the page.
        command: the command that repeats this comparison.
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


def subtitles(results: list[Result]) -> dict[str, str]:
    """The first Fréchet distance of each result, in words, by name."""
    texts = {}
    for result in results:
        for name, value in result.values.items():
            if has_ratio(value):
                texts[result.subject.name] = f"{title_of(name, value)} {short(value.value)}"
                break
    return texts
