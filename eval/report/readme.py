"""``python -m eval.report.readme runs/demo``: puts a comparison's results into the README."""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.table.formatting import short
from zoo.system.files import write_atomically
from zoo.system.text import markdown_table

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
COLUMNS = {
    "model": "model",
    "fid_small_1000": "FID ↓",
    "clip_score_small_clip": "CLIP score ↑",
    "network_evaluations": "network evaluations",
    "images_per_second": "images/s ↑",
}
"""Columns of a comparison's CSV, and their names in the README."""


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrites the README's block of results from a comparison's folder."""
    parser = argparse.ArgumentParser(prog="python -m eval.report.readme", description=__doc__)
    parser.add_argument("folder", type=Path, help="where `zoo compare` wrote results.csv")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    arguments = parser.parse_args(argv)
    try:
        update(arguments.readme, arguments.folder)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def update(readme: Path, folder: Path) -> None:
    """Replaces the text between the markers; the whole table and the picture go to ``docs/``.

    Raises:
        ValueError: the folder has no table, the table lacks a column, or the README its markers.
    """
    files = [folder / name for name in ("results.csv", "results.md", "comparison.png")]
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file}: no such file; `zoo compare experiment=digits` writes it")
    with files[0].open(encoding="utf-8", newline="") as lines:
        table = five_columns(list(csv.DictReader(lines)))
    block = [*table, "", *_BESIDE]
    text = with_results(readme.read_text(encoding="utf-8"), "\n".join(block))
    for file in files[1:]:
        copy = readme.parent / "docs" / file.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
    write_atomically(readme, text)


def five_columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The Markdown lines of the README's table: each number with half of its interval's width.

    Raises:
        ValueError: a column is missing.
    """
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise ValueError(f"results.csv has no column {', '.join(missing)}")
    cells = [[_cell(row, name) for name in COLUMNS] for row in rows]
    return markdown_table(list(COLUMNS.values()), cells).splitlines()


def _cell(row: Mapping[str, str], name: str) -> str:
    if name == "model":
        return row[name]
    if not row[name]:
        return "–"
    value, low, high = float(row[name]), row.get(f"{name}_low"), row.get(f"{name}_high")
    if low and high:
        return f"{short(value)} ± {short((float(high) - float(low)) / 2)}"
    return f"{value:,.0f}" if value.is_integer() else short(value)


def with_results(text: str, block: str) -> str:
    r"""The README's text with another block of results.

    >>> print(with_results(f"# Zoo {BEGIN} old {END} end", "| FID |"))
    # Zoo <!-- results:begin -->
    | FID |
    <!-- results:end --> end

    Raises:
        ValueError: the text does not have exactly one pair of markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest:
        raise ValueError(f"the README needs one pair of {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


_BESIDE = (
    "All columns, definitions, budget, protocol and verdicts: [docs/results.md](docs/results.md).",
    "",
    "![Samples of every model beside real images](docs/comparison.png)",
)


if __name__ == "__main__":
    main()
