"""``python -m eval.report.readme runs/demo``: a comparison's table and picture for the README."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Sequence
from itertools import dropwhile, takewhile
from pathlib import Path

from zoo.system.files import write_atomically

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
LEFT_OUT = ("noise floor", "FLOPs", "images seen", "sampler", "guidance")


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrites the README's block of results from the folder that a comparison wrote."""
    parser = argparse.ArgumentParser(prog="python -m eval.report.readme", description=__doc__)
    parser.add_argument("folder", type=Path, help="where `zoo compare` wrote results.md")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    arguments = parser.parse_args(argv)
    try:
        update(arguments.readme, arguments.folder)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def update(readme: Path, folder: Path) -> None:
    """Replaces what stands between the markers; the picture goes to docs/ beside the README.

    Raises:
        ValueError: the folder holds no table, or the README no markers.
    """
    table = folder / "results.md"
    if not table.is_file():
        raise ValueError(f"{table}: no such file; `zoo compare experiment=digits` writes it")
    picture = None
    if (folder / "comparison.png").is_file():
        picture = Path("docs") / "comparison.png"
        (readme.parent / picture.parent).mkdir(exist_ok=True)
        shutil.copyfile(folder / "comparison.png", readme.parent / picture)
    text = readme.read_text(encoding="utf-8")
    write_atomically(readme, with_results(text, table.read_text(encoding="utf-8"), picture))


def with_results(text: str, markdown: str, picture: Path | None = None) -> str:
    r"""The README's text with a comparison's first table, its command and its picture.

    >>> table = "| FID |\n| --- |\n| 3 |"
    >>> print(with_results(f"# Zoo {BEGIN} old {END} end", table))
    # Zoo <!-- results:begin -->
    | FID |
    | --- |
    | 3 |
    <!-- results:end --> end

    Raises:
        ValueError: the text has not one pair of markers, or the Markdown no table.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest:
        raise ValueError(f"the README needs one pair of {BEGIN} and {END}")
    lines = markdown.splitlines()
    rows = list(takewhile(_is_row, dropwhile(lambda line: not _is_row(line), lines)))
    if not rows:
        raise ValueError("results.md has no table")
    rows = _narrower(rows)
    command = next((line for line in lines if line.startswith("Made by ")), None)
    block = [command, "", *rows] if command else rows
    if picture is not None:
        block += ["", f"![Samples of every model beside real images]({picture.as_posix()})"]
    return before + "\n".join([BEGIN, *block, END]) + after


def _narrower(rows: list[str]) -> list[str]:
    """The table without the columns that the report page has room for and a README has not."""
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    columns = [i for i, title in enumerate(cells[0]) if not title.startswith(LEFT_OUT)]
    return ["| " + " | ".join(row[i] for i in columns) + " |" for row in cells]


def _is_row(line: str) -> bool:
    return line.startswith("|")


if __name__ == "__main__":
    main()
