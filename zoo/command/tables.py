"""Named tables of two columns on the terminal, for the verbs that show things."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(tables: dict[str, dict[str, str]]) -> None:
    """Prints named tables of name and line: drawn on a terminal, whole lines into a pipe."""
    width = max((len(name) for rows in tables.values() for name in rows), default=0)
    for kind, rows in tables.items():
        if sys.stdout.isatty():
            _draw(kind, rows, width)
        else:  # into a pipe: whole lines
            print(f"{kind}\n" + "\n".join(f"  {n:<{width}}  {line}" for n, line in _or_none(rows)))


def _draw(kind: str, rows: dict[str, str], width: int) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(min_width=width, no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for name, line in _or_none(rows):
        table.add_row(Text(f"  {name}"), Text(line))
    Console().print(Text(kind, style="bold"), table, sep="\n", end="\n\n")


def _or_none(rows: dict[str, str]) -> list[tuple[str, str]]:
    return list(rows.items()) or [("-", "none yet")]
