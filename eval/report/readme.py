"""``python -m eval.report.readme runs/demo``: puts a comparison's results into the README."""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.report.legend import ARROWS, HALF, OF_WEIGHTS, below_floor, of_notes
from eval.table.formatting import NONE, machine, plus_minus, short
from zoo.system.files import write_atomically
from zoo.system.text import csv_name, markdown_items, markdown_table

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
COLUMNS = {
    "model": "model",
    "fid_small_1000": "FID-1000 ↓",
    "fid_small_360": "FID-360 ↓",
    "clip_score_small_clip": "CLIP score ↑",
    "network_evaluations": "network evaluations",
    "images_per_second": "images/s ↑",
}
"""Columns of a comparison's CSV, and their names in the README."""

_FIDS = ("fid_small_1000", "fid_small_360")
_BASELINES = {"floor": "floor", "ceiling": "real"}  # columns beside a number's, and their words


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
        rows = list(csv.DictReader(lines))
    block = [*table_of(rows), "", *markdown_items(legend_of(rows)), "", *_BESIDE]
    text = with_results(readme.read_text(encoding="utf-8"), "\n".join(block))
    for file in files[1:]:
        copy = readme.parent / "docs" / file.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
    write_atomically(readme, text)


def table_of(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The Markdown lines of the README's table: each number with half of its interval.

    Raises:
        ValueError: a column is missing.
    """
    columns = _columns(rows)
    missing = [name for name in columns if not rows or name not in rows[0]]
    if missing:
        raise ValueError(f"results.csv has no column {', '.join(missing)}")
    notes = {name: _notes(rows, name) for name in columns}
    heads = [f"{COLUMNS[n]} ({', '.join(notes[n])})" if notes[n] else COLUMNS[n] for n in columns]
    cells = [[_cell(row, name) for name in columns] for row in rows]
    return markdown_table(heads, cells).splitlines()


def legend_of(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The sentences below the table."""
    notes = [note for name in _columns(rows) for note in _notes(rows, name)]
    sentences = [ARROWS, HALF.format(over=OF_WEIGHTS), *of_notes(notes)]
    pairs = [(row[n], row[f"{n}_floor"]) for row in rows for n in _FIDS if _level(row, n)]
    if any(float(number) < float(floor) for number, floor in pairs):
        sentences.append(below_floor("balanced"))  # the labels of experiment=digits
    return sentences


def _columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The columns to show: speed only where its machine is known."""
    optional = {"fid_small_360": "fid_small_360", "images_per_second": "machine"}
    return [
        name
        for name in COLUMNS
        if name not in optional or all(row.get(optional[name]) for row in rows)
    ]


def _notes(rows: Sequence[Mapping[str, str]], name: str) -> list[str]:
    """What all rows of a column are read beside: floor, ceiling, machine."""
    notes = []
    for end, word in _BASELINES.items():
        numbers = {row.get(f"{name}_{end}") or "" for row in rows if row[name]}
        comparable = end != "floor" or all(_level(row, name) for row in rows if row[name])
        if len(numbers) == 1 and "" not in numbers and comparable:
            notes.append(f"{word} {short(float(numbers.pop()))}")
    if name == "images_per_second":
        machines = sorted({machine(csv_name(row["machine"])) for row in rows})
        notes.append(f"on {' or '.join(machines)}")
    return notes


def _level(row: Mapping[str, str], name: str) -> bool:
    """Whether a number has a floor of as many images."""
    counts = [row.get(f"{name}_{end}") for end in ("num_images", "floor_images")]
    return bool(row.get(name) and row.get(f"{name}_floor")) and counts[0] == counts[1]


def _cell(row: Mapping[str, str], name: str) -> str:
    if name == "model":
        return csv_name(row[name])
    if not row[name]:
        return NONE
    value, *ends = (row.get(f"{name}{end}") or "" for end in ("", "_low", "_high"))
    if all(ends):
        return plus_minus(float(value), *map(float, ends))
    number = float(value)
    return f"{number:,g}" if name == "network_evaluations" else short(number)


def with_results(text: str, block: str, name: str = "results") -> str:
    r"""The README's text with another block between the markers of a name.

    >>> print(with_results(f"# Zoo {BEGIN} old {END} end", "| FID |"))
    # Zoo <!-- results:begin -->
    | FID |
    <!-- results:end --> end

    Raises:
        ValueError: the text does not have exactly one pair of markers.
    """
    first, last = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or first in rest:
        raise ValueError(f"the README needs one pair of {first} and {last}")
    return f"{before}{first}\n{block}\n{last}{after}"


_BESIDE = (
    "All columns, definitions, budget, protocol and verdicts: [docs/results.md](docs/results.md).",
    "",
    "![Samples of every model beside real images](docs/comparison.png)",
)


if __name__ == "__main__":
    main()
