r"""A comparison as a LaTeX table, which needs ``\usepackage{booktabs}`` and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval.result.uncertainty import block_bounds
from eval.table.column import Cell
from eval.table.formatting import short
from eval.table.ranking import BEST, LEVEL, Rank, ranks
from eval.table.table import Table
from zoo.system.text import latex_text, one_line

_ACROSS = 4  # metrics beside each other; further ones go below, to fit the page's width
_TEMPLATE = Environment(  # delimiters that LaTeX does not use; every text is escaped here
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    variable_start_string="<<", variable_end_string=">>",
    block_start_string="<%", block_end_string="%>", comment_start_string="<#",
    comment_end_string="#>", trim_blocks=True, keep_trailing_newline=True,
    undefined=StrictUndefined,
).get_template("table.tex.j2")  # fmt: skip


def to_latex(table: Table, title: str, command: str) -> str:
    r"""The table's metrics and network evaluations, a row per model.

    Best values are bold, those not distinguishable from them underlined. The subscript is half the
    95 % interval, or its ends where they are not equally far from the value.

    ``title`` begins the caption; ``command``, which repeats the comparison, is a comment in the
    file.
    """
    indices = [
        i
        for i, column in enumerate(table.columns)
        if column.on_page and not column.of_cost and column.key != "model"
    ]
    bounds = block_bounds(len(indices), math.ceil(len(indices) / _ACROSS))  # of about one width
    return _TEMPLATE.render(
        command=one_line(command),
        caption=_caption(table, title),
        parts=[_part(table, indices[start:end]) for start, end in bounds],
    )


def _part(table: Table, indices: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of some columns, as LaTeX."""
    places = {i: ranks(table, i) for i in indices}
    keys = {column.key: i for i, column in enumerate(table.columns)}
    rows = []
    for row, (name, cells) in enumerate(table.rows):
        texts = [latex_text(name)]
        for i in indices:
            low, high = (keys.get(f"{table.columns[i].key}_{end}") for end in ("low", "high"))
            ends = [cells[end] for end in (low, high) if end is not None]
            texts.append(_number(cells[i], ends, places[i][row]))
        rows.append(texts)
    return ["model", *(_stacked(latex_text(table.columns[i].title)) for i in indices)], rows


def _stacked(head: str) -> str:
    """A heading with its extractor below it: titles are wider than numbers."""
    name, sign, rest = head.partition(" (")
    if not sign:
        name, sign, rest = head.partition(" ")
    if not sign or rest.startswith("$"):  # an arrow alone
        return head
    rest = f"({rest}" if sign == " (" else rest
    return f"\\begin{{tabular}}[b]{{@{{}}r@{{}}}}{name}\\\\{rest}\\end{{tabular}}"


def _number(cell: Cell, ends: Sequence[Cell], rank: Rank) -> str:
    if not isinstance(cell.value, int | float):
        return latex_text(cell.text)
    bounds = [end.value for end in ends if isinstance(end.value, int | float)]
    if len(bounds) < 2:
        return f"${_marked(cell.text, rank)}$"
    half = (bounds[1] - bounds[0]) / 2
    if abs(bounds[0] + bounds[1] - 2 * cell.value) > 0.02 * half or half <= 0:
        between = ", ".join(_math(end.text) for end in ends)
        return f"${_marked(short(cell.value), rank)}{{}}_{{[{between}]}}$"
    digits = max(0, 1 - math.floor(math.log10(half)))  # two significant ones of the interval
    return f"${_marked(f'{cell.value:,.{digits}f}', rank)}{{}}_{{\\pm {half:,.{digits}f}}}$"


def _marked(number: str, rank: Rank) -> str:
    text = _math(number)
    return {BEST: f"\\mathbf{{{text}}}", LEVEL: f"\\underline{{{text}}}"}.get(rank.place, text)


def _math(text: str) -> str:
    """A number in mathematics: no space after the comma of thousands."""
    return text.replace(",", "{,}")


def _caption(table: Table, title: str) -> str:
    sentences = [f"{title}."]
    if table.mismatches:
        fields = ", ".join(dict.fromkeys(mismatch.field for mismatch in table.mismatches))
        sentences.append(f"Forced: the rows differ in {fields}; their numbers are not comparable.")
    sentences.append(_protocol(table.protocol))
    keys = [column.key for column in table.columns]
    if any(key.endswith("_low") for key in keys):
        blocks = table.protocol["blocks"]
        over = f"for these weights and this reference (jackknife over {blocks} blocks)"
        if isinstance(table.budget.get("seed"), list):
            over = f"over {len(table.budget['seed'])} trainings of each method"
        sentences.append(f"Subscript: half the 95 % interval, {over}.")
    places = {rank.place for i in range(len(keys)) for rank in ranks(table, i)}
    if BEST in places:
        sentences.append("Bold: best, where another is distinguishable from it.")
    if LEVEL in places:
        of = dict.fromkeys(verdict.of for verdict in table.verdicts)
        sentences.append(f"Underlined: not distinguishable from the best ({', '.join(of)}; Holm).")
    return latex_text(" ".join(sentences)).replace(" \\%", "\\,\\%")


def _protocol(protocol: dict[str, Any]) -> str:
    """How every number was measured, in one sentence."""
    size = " × ".join(map(str, (protocol.get("image_size") or [])[1:]))
    parts = [f"{protocol['num_generated']:,} images{f' of {size} pixels' if size else ''} each"]
    if protocol.get("num_reference"):
        reference = f"{protocol['data']} ({protocol['reference']})"
        parts.append(f"compared with {protocol['num_reference']:,} of {reference}")
    parts += [str(protocol["labels"]), f"seed {protocol['seed']}", str(protocol["dtype"])]
    name = f"Protocol {protocol['name']}: " if protocol.get("name") else ""
    return name + "; ".join(parts) + "."
