"""The comparison as one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from eval.report import page_folded, page_sections, page_table
from eval.report.page_intervals import intervals
from eval.report.page_style import SCRIPT, STYLE
from eval.result.record import Result
from eval.table.formatting import rank_warnings
from eval.table.table import Table

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(
    table: Table,
    results: Sequence[Result],
    samples: Mapping[str, bytes],
    title: str,
    command: str,
    pairs: Mapping[str, bytes] | None = None,
) -> str:
    """The whole page; everything that comes from outside is escaped.

    Args:
        table: of ``compare``.
        results: the rows' results, in the table's order.
        samples: name to PNG grid.
        title: of the page.
        command: what makes this comparison again.
        pairs: name to PNG of its closest pairs of generated and training image.
    """
    sections = [
        _header(results, title, command),
        _notices(table, results),
        page_table.quality(table),
        page_sections.samples(samples, results),
        intervals(table, results),
        page_sections.floor(results),
        page_sections.memory(results, pairs or {}),
        page_table.cost(table),
        page_sections.curves(results),
        page_folded.definitions(table),
        page_folded.setup(table),
        page_folded.records(results),
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


def _header(results: Sequence[Result], title: str, command: str) -> str:
    protocol, environment = results[0].protocol, results[0].environment
    channels, height, width = protocol.image_size
    facts = [
        "1 model" if len(results) == 1 else f"{len(results)} models",
        f"{protocol.data}, {height} × {width}, {'grey' if channels == 1 else 'colour'}",
        f"{_either(r.protocol.num_generated for r in results)} generated images each",
        f"measured on {environment.machine}",
        environment.time,
    ]
    name = getattr(protocol, "name", "")
    if name:
        facts.insert(2, f"protocol {name}")
    chips = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return (
        f'<header><h1>{escape(title)}</h1><ul class="facts">{chips}</ul>'
        f'<p class="quiet">Make it again: <code>{escape(command)}</code></p></header>'
    )


def _either(numbers: Iterable[int]) -> str:
    """One number, or all that forced rows have."""
    return " or ".join(f"{number:,}" for number in sorted(set(numbers)))


def _notices(table: Table, results: Sequence[Result]) -> str:
    boxes = []
    if table.differences:
        items = "".join(f"<li>{escape(str(item))}</li>" for item in table.differences)
        boxes.append(
            '<aside class="box alarm"><strong>Forced: these rows differ in protocol or budget, '
            f"so their numbers do not answer the same question.</strong><ul>{items}</ul></aside>"
        )
    warnings = [*table.warnings, *rank_warnings(results)]
    if warnings:
        items = "".join(f"<li>{escape(item)}</li>" for item in warnings)
        boxes.append(f'<aside class="box warn"><strong>Mind</strong><ul>{items}</ul></aside>')
    return "".join(boxes)
