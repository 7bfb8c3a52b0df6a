"""Tables as text: CSV for programs, Markdown for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[Any]], end: str = "\n") -> str:
    r"""CSV with a line of heads; None is an empty field.

    Args:
        heads: names of the columns.
        rows: their values, numbers unrounded.
        end: of every line.

    >>> csv_text(["model", "fid"], [["a, b", 2.5], ["c", None]])
    'model,fid\n"a, b",2.5\nc,\n'
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=end)
    writer.writerow(heads)
    writer.writerows(rows)
    return buffer.getvalue()


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A Markdown table without a line break at its end; every cell is escaped.

    >>> print(markdown_table(["model", "FID"], [["a|b", "**2.50**"]]))
    | model | FID |
    | --- | --- |
    | a\|b | **2.50** |
    """
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join(f"| {' | '.join(map(markdown_text, line))} |" for line in lines)


def markdown_text(text: str) -> str:
    r"""Text that cannot break out of a Markdown cell or become a tag; emphasis stays.

    >>> print(markdown_text("a|b <i> c:\\d"))
    a\|b &lt;i> c:\\d
    """
    escaped = text.replace("\\", "\\\\").replace("|", "\\|")
    return escaped.replace("<", "&lt;").replace("\n", " ")
