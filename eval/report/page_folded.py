"""The page's last sections: what the columns mean, and protocol and provenance, folded away."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from eval.result.record import Result
from eval.table.formatting import told
from eval.table.table import Table


def definitions(table: Table) -> str:
    """Every column in plain words."""
    items = "".join(
        f"<dt>{escape(c.title)}</dt><dd>{escape(c.definition)}</dd>"
        for c in table.columns
        if c.on_page or c.key.startswith("nearest_")
    )
    return (
        '<section id="definitions"><h2>What the columns mean</h2>'
        f'<dl class="definitions">{items}</dl></section>'
    )


def setup(table: Table) -> str:
    """Protocol and budget, which all rows share unless they were forced."""
    first = "The first row's; the differences stand at the top of the page."
    protocol = "How every number was measured: equal in all rows."
    budget = "What every training was allowed to use: equal in all rows."
    if table.differences:
        protocol = budget = first
    if all(value is None for value in table.budget.values()):
        budget = "Nothing is known of any training."
    return (
        '<section><h2>How it was measured</h2><p class="quiet">Protocol and budget decide which '
        "rows may stand in one table; records hold everything else: hashes, settings, versions and "
        "the origin of each row.</p>"
        + _folded("Protocol", protocol, table.protocol)
        + _folded("Budget", budget, table.budget)
        + "</section>"
    )


def _folded(heading: str, text: str, record: dict[str, Any]) -> str:
    rows = "".join(
        f"<dt>{escape(field.replace('_', ' '))}</dt><dd>{escape(_brief(told(value)))}</dd>"
        for field, value in record.items()
    )
    return (
        f"<details><summary>{heading}</summary><div class='inside'><p class='quiet'>{text}</p>"
        f'<dl class="facts-list">{rows}</dl></div></details>'
    )


def _brief(text: str) -> str:
    """A hash is recognised by its first digits; the whole of it stands in the records."""
    return f"{text[:16]}…" if re.fullmatch(r"[0-9a-f]{64}", text) else text


def records(results: Sequence[Result]) -> str:
    """Each result whole, as JSON, but for its curve, which is drawn."""
    items = []
    for result in results:
        record: dict[str, Any] = asdict(result)
        record["provenance"] = {k: v for k, v in result.provenance.items() if k != "history"}
        text = json.dumps(record, indent=2)
        items.append(
            f"<details><summary>Record of {escape(result.subject.name)}</summary>"
            f'<pre tabindex="0">{escape(text)}</pre></details>'
        )
    return f'<section class="records">{"".join(items)}</section>'
