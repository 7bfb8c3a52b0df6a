"""The record of a result for people: tables of its numbers and of everything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from eval.result.record import Result, Value
from eval.table.formatting import NONE, date, title_of
from zoo.system.nested import leaves

_PARTS = ("subject", "protocol", "budget", "environment", "provenance", "absent")
_WORDS = ("definition", "title", "unit", "column", "sha256", "extractor")
_FLAGS = ("higher_is_better", "distance", "unbiased")


def record(result: Result) -> dict[str, Any]:
    """The template's variables: every field of the result, unrounded.

    Returns:
        ``heads`` and ``rows`` of the table of numbers, and ``parts``: heading to field to text. The
        training's curve is left out, because it is drawn.
    """
    facts = {part: getattr(result, part) for part in _PARTS}
    facts["provenance"] = {k: v for k, v in result.provenance.items() if k != "history"}
    parts = {part: _texts(_plain(value)) for part, value in facts.items()}
    parts["environment"]["time"] = f"{date(result.environment.time)} ({result.environment.time})"
    numbers = {name: _numbers(value) for name, value in result.values.items()}
    columns = [f.name for f in fields(Value) if any(row.get(f.name) for row in numbers.values())]
    return {
        "heads": [column.replace("_", " ") for column in columns],
        "rows": [
            (title_of(name, result.values[name]), [row.get(column) or NONE for column in columns])
            for name, row in numbers.items()
        ],
        "parts": {
            **{part: texts for part, texts in parts.items() if texts},
            **{f"{title_of(n, v)}": _texts(_details(v)) for n, v in result.values.items()},
        },
    }


def _numbers(value: Value) -> dict[str, str]:
    """A value's single numbers, by field."""
    record = asdict(value)
    names = [name for name in record if name not in (*_WORDS, *_FLAGS)]
    texts = {name: record[name] for name in names if isinstance(record[name], int | float)}
    if value.interval is not None:
        texts["interval"] = " to ".join(map(_text, value.interval))
    return {name: _text(text) for name, text in texts.items()}


def _details(value: Value) -> dict[str, Any]:
    """What of a value is no single number."""
    names = (*_WORDS[:1], "extractor", "sha256", *_FLAGS, "detail", "blocks", "trainings")
    return {name: part for name, part in _plain(value).items() if name in names}


def _plain(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else asdict(value)


def _texts(record: Mapping[str, Any]) -> dict[str, str]:
    """Dotted names to texts; what is empty or unknown is left out."""
    return {
        re.sub(r"(?<=[^\W_])_(?=[^\W_])", " ", name): _text(value)
        for name, value in leaves(record).items()
        if value not in (None, "", [], {})
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(f"{v:.6g}" if isinstance(v, float) else _text(v) for v in value)
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_text(part)}" for name, part in value.items())
    return repr(value) if isinstance(value, float) else str(value)
