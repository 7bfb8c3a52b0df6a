"""The comparison as one self-contained HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from eval.report import page_view
from eval.report.legend import has_best, of_numbers
from eval.report.records import record
from eval.result.record import Result
from eval.table.formatting import date, machine, rank_warnings, text_of
from eval.table.table import Table
from eval.table.verdict import note as verdict_note
from zoo.system.text import visible


def page(
    table: Table,
    results: Sequence[Result],
    samples: Mapping[str, bytes],
    title: str,
    command: str,
    pairs: Mapping[str, bytes] | None = None,
) -> str:
    """The whole page; every text from outside is escaped.

    For the arguments see ``eval.report.write.write_report``.
    """
    closest = "closest pairs of generated and training image"
    return _TEMPLATE.render(
        title=title,
        command=command,
        facts=_facts(results),
        table=table,
        warnings=[*table.warnings, *rank_warnings(results)],
        quality=page_view.quality(table),
        cost=page_view.cost(table),
        has_best=has_best(table),
        legend=of_numbers(table),
        labels=results[0].protocol.labels,
        samples=page_view.pictures(samples, "sample grid"),
        pairs=page_view.pictures(pairs or {}, closest),
        several_trainings=any(v.trainings for r in results for v in r.values.values()),
        verdict_note=verdict_note(table.verdicts),
        forests=page_view.forests(table, results),
        floor=page_view.floor(results),
        distances=page_view.distances(results),
        curves=page_view.curves(results),
        protocol=_in_words(table.protocol),
        budget=_in_words(table.budget),
        budget_known=any(value is not None for value in table.budget.values()),
        records=[(result.subject.name, record(result)) for result in results],
    )


def _facts(results: Sequence[Result]) -> list[str]:
    protocol = results[0].protocol
    environment = max((result.environment for result in results), key=lambda e: e.time)
    channels, height, width = protocol.image_size
    generated = _either(result.protocol.num_generated for result in results)
    return [
        "1 model" if len(results) == 1 else f"{len(results)} models",
        f"{protocol.data}, {height} × {width}, {'grey' if channels == 1 else 'colour'}",
        *([f"protocol {protocol.name}"] if protocol.name else []),
        f"{generated} generated images each",
        f"measured on {machine(environment.machine)}",
        date(environment.time),
    ]


def _either(numbers: Iterable[int]) -> str:
    """One number, or all that forced rows have."""
    return " or ".join(f"{number:,}" for number in sorted(set(numbers)))


def _in_words(record: Mapping[str, Any]) -> dict[str, str]:
    """The texts by field; a hash by its first digits, because the records have the whole of it."""
    known = {field: value for field, value in record.items() if value != ""}
    texts = {field.replace("_", " "): text_of(value) for field, value in known.items()}
    return {
        field: f"{text[:16]}…" if re.fullmatch(r"[0-9a-f]{64}", text) else text
        for field, text in texts.items()
    }


def _shown(value: object) -> str:
    """A text from outside without hidden controls, which jinja2 then escapes."""
    return value if isinstance(value, Markup) else visible(str(value))


def _breakable(name: str) -> Markup:
    """Escaped, and breakable at underscores."""
    return escape(visible(name)).replace("_", Markup("_<wbr>"))


_HTML = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    undefined=StrictUndefined, finalize=_shown,
)  # fmt: skip
_HTML.filters["breakable"] = _breakable
_TEMPLATE = _HTML.get_template("page.html.j2")
