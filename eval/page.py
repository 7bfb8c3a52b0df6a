"""The comparison as one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from html import escape
from typing import Any

from eval import page_sections
from eval.column import Cell, Column, told
from eval.compare import Table
from eval.page_style import SCRIPT, STYLE
from eval.result import Result

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(
    table: Table, results: list[Result], samples: dict[str, bytes], title: str, command: str
) -> str:
    """The whole page; everything that comes from outside is escaped.

    Args:
        table: of ``compare``.
        results: the rows' results, in the table's order.
        samples: name to PNG grid.
        title: of the page.
        command: what makes this comparison again.
    """
    sections = [
        _header(results, title, command),
        _notices(table),
        _main_table(table),
        page_sections.samples(samples, results),
        page_sections.verdicts(table),
        page_sections.floor(results),
        page_sections.curves(results),
        page_sections.memory(results),
        _setup(table),
        _definitions(table),
        _records(results),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in sections if section)
        + f"\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _header(results: list[Result], title: str, command: str) -> str:
    protocol, environment = results[0].protocol, results[0].environment
    channels, height, width = protocol.image_size
    facts = [
        f"{len(results)} models",
        f"{protocol.data}, {height} × {width}, {'grey' if channels == 1 else 'colour'}",
        f"{protocol.num_generated:,} generated images each",
        f"measured on {environment.machine}",
        environment.time,
    ]
    chips = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return (
        f'<header><h1>{escape(title)}</h1><ul class="facts">{chips}</ul>'
        f'<p class="quiet">Make it again: <code>{escape(command)}</code></p></header>'
    )


def _notices(table: Table) -> str:
    boxes = []
    if table.differences:
        items = "".join(f"<li>{escape(str(item))}</li>" for item in table.differences)
        boxes.append(
            '<aside class="box alarm"><strong>Forced: these rows differ in protocol or budget, '
            f"so their numbers do not answer the same question.</strong><ul>{items}</ul></aside>"
        )
    if table.warnings:
        items = "".join(f"<li>{escape(item)}</li>" for item in table.warnings)
        boxes.append(f'<aside class="box warn"><strong>Mind</strong><ul>{items}</ul></aside>')
    return "".join(boxes)


def _main_table(table: Table) -> str:
    shown = [(i, column) for i, column in enumerate(table.columns) if column.on_page]
    best = {i: _best(column, [cells[i] for _, cells in table.rows]) for i, column in shown}
    heads = "".join(
        f'<th scope="col"{_number(_is_number(table, i))}>'
        f'<button type="button" title="{escape(column.definition)}">{_heading(column)}</button>'
        "</th>"
        for i, column in shown
    )
    differing = {difference.row for difference in table.differences}
    further = ': that stands <a href="#verdicts">below</a>' if table.verdicts else ""
    rows = []
    for row, (name, cells) in enumerate(table.rows):
        marks = ' class="differs"' if name in differing else ""
        filled = "".join(
            _cell(cells[i], column, row, cells[i].value == best[i] and best[i] is not None)
            for i, column in shown
        )
        rows.append(f"<tr{marks}>{filled}</tr>")
    return (
        '<section><h2>The comparison</h2><div class="scroll"><table class="sortable">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="quiet">Click a heading to sort. ↓ lower is better, ↑ higher is better; the best '
        "value of a column is <b class='best'>marked</b>, which does not say that the difference "
        f"to the next is larger than chance{further}. Every column is explained "
        '<a href="#definitions">below</a>.</p></section>'
    )


def _heading(column: Column) -> str:
    """Broken between words only, and not before the arrow."""
    return escape(
        column.title.replace("-", "\u2011").replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓")
    )


def _best(column: Column, cells: list[Cell]) -> float | None:
    numbers = [cell.value for cell in cells if isinstance(cell.value, int | float)]
    if column.higher_is_better is None or len(set(numbers)) < 2:
        return None
    return max(numbers) if column.higher_is_better else min(numbers)


def _is_number(table: Table, index: int) -> bool:
    return all(not isinstance(cells[index].value, str) for _, cells in table.rows)


def _number(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _cell(cell: Cell, column: Column, row: int, best: bool) -> str:
    number = not isinstance(cell.value, str)
    key = "" if cell.value is None else str(cell.value)
    note = "".join(f"<small>{_kept(part)}</small>" for part in cell.note.split(" · ") if part)
    text = f"<b class='best'>{escape(cell.text)}</b>" if best else escape(cell.text)
    if column.key == "model":
        dot = f'<i class="dot s{row % 8}"></i>'
        breakable = text.replace("_", "_<wbr>")
        return f'<th scope="row" data-key="{escape(key)}">{dot}{breakable}{note}</th>'
    return f'<td{_number(number)} data-key="{escape(key)}">{text}{note}</td>'


def _kept(note: str) -> str:
    """A short note stays on one line."""
    return escape(note if len(note) > 16 else note.replace(" ", "\u00a0"))


def _setup(table: Table) -> str:
    cards = []
    texts = {
        "Budget": "What every training was allowed to use: equal in all rows.",
        "Protocol": "How every number was measured: equal in all rows.",
    }
    for heading, record in (("Budget", table.budget), ("Protocol", table.protocol)):
        rows = "".join(
            f"<dt>{escape(field.replace('_', ' '))}</dt><dd>{escape(_brief(told(value)))}</dd>"
            for field, value in record.items()
        )
        text = "The first row's; the differences stand above." if table.differences else None
        cards.append(
            f'<div class="card"><h2>{heading}</h2><p class="quiet">{text or texts[heading]}</p>'
            f'<dl class="facts-list">{rows}</dl></div>'
        )
    return f'<section class="cards">{"".join(cards)}</section>'


def _brief(text: str) -> str:
    """A hash is recognised by its first digits; the whole of it stands in the records below."""
    return f"{text[:16]}…" if re.fullmatch(r"[0-9a-f]{64}", text) else text


def _definitions(table: Table) -> str:
    items = "".join(
        f"<dt>{escape(c.title)}</dt><dd>{escape(c.definition)}</dd>" for c in table.columns
    )
    return (
        '<section id="definitions"><h2>What the columns mean</h2>'
        f'<dl class="definitions">{items}</dl></section>'
    )


def _records(results: list[Result]) -> str:
    items = []
    for result in results:
        record: dict[str, Any] = asdict(result)
        record["provenance"] = {k: v for k, v in result.provenance.items() if k != "history"}
        text = json.dumps(record, indent=2)
        items.append(
            f"<details><summary>{escape(result.subject.name)}</summary>"
            f"<pre>{escape(text)}</pre></details>"
        )
    return (
        '<section><h2>Everything that was recorded</h2><p class="quiet">Hashes, settings, versions '
        f"and the command behind each row.</p>{''.join(items)}</section>"
    )
