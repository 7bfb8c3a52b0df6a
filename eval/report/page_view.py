"""The content of the page's template: texts, numbers, charts and pictures, part by part."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from eval.report.drawing import charts
from eval.report.drawing import curves as training_curves
from eval.report.picture import fitted, size
from eval.result.record import Result, Value
from eval.table.column import Cell, Column
from eval.table.formatting import NONE, comparable_floor, has_ratio, short
from eval.table.ranking import BEST, LEVEL, Rank, ranks
from eval.table.table import Table
from eval.table.verdict import sentences

View = dict[str, Any]
"""The variables of a part of the template."""

_WIDEST = 1600  # pixels of an image on the page
_ENLARGED = 700  # narrower ones are drawn larger, pixel by pixel


def quality(table: Table) -> View:
    """Every metric of every row, sortable."""
    return _sortable(table, [i for i, c in enumerate(table.columns) if c.on_page and not c.of_cost])


def cost(table: Table) -> View | None:
    """Size, training and sampling of every row; None where nothing is known of them."""
    of_cost = [i for i, column in enumerate(table.columns) if column.of_cost]
    if not any(isinstance(cells[i].value, int | float) for _, cells in table.rows for i in of_cost):
        return None
    return _sortable(table, [0, *(i for i in of_cost if table.columns[i].on_page)])


def _sortable(table: Table, indices: Sequence[int]) -> View:
    row_ranks = {i: ranks(table, i) for i in indices}
    differing = {mismatch.row for mismatch in table.mismatches}
    return {
        "heads": [_head(table, i) for i in indices],
        "rows": [
            {
                "differs": name in differing,
                "cells": [_cell(cells[i], table.columns[i], row_ranks[i][row]) for i in indices],
            }
            for row, (name, cells) in enumerate(table.rows)
        ],
    }


def _head(table: Table, index: int) -> View:
    column = table.columns[index]
    title = column.title.replace("-", "\u2011").replace(" = ", "\u00a0=\u00a0")
    return {  # a title breaks between words only, and not before the arrow
        "title": title.replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓"),
        "notes": [note for note in column.note.split(" · ") if note],
        "definition": column.definition,
        "first": "descending" if column.higher_is_better else "ascending",
        "number": all(not isinstance(cells[index].value, str) for _, cells in table.rows),
    }


def _cell(cell: Cell, column: Column, rank: Rank) -> View:
    return {
        "name": column.key == "model",
        "number": not isinstance(cell.value, str),
        "key": "" if cell.value is None else str(cell.value),
        "text": cell.text,
        "notes": [note for note in cell.note.split(" · ") if note],
        "place": rank.place if rank.place in (BEST, LEVEL) else "",
        "verdict": rank.note,
    }


def pictures(images: Mapping[str, bytes], kind: str) -> list[View]:
    """PNG images under their names, at most as large as a page needs them."""
    views = []
    for name, image in images.items():
        data = fitted(image, _WIDEST)
        width, height = size(data)
        source = "data:image/png;base64," + base64.b64encode(data).decode()
        view = {"width": width, "height": height, "small": width < _ENLARGED, "source": source}
        views.append({**view, "caption": name, "alternative": f"{kind}: {name}"})
    return views


def forests(table: Table, results: Sequence[Result]) -> list[View]:
    """A chart for every metric with an interval: all rows on one axis, with their verdicts."""
    pairs = sentences(table.verdicts)
    return [
        _forest(table, results, index) | {"pairs": pairs.get(column.key, [])}
        for index, column in enumerate(table.columns)
        if any(column.key in r.values and r.values[column.key].interval for r in results)
    ]


def _forest(table: Table, results: Sequence[Result], index: int) -> View:
    column = table.columns[index]
    rows = {result.subject.name: result.values.get(column.key) for result in results}
    values = [value for value in rows.values() if value is not None]
    lines = charts.lines_of(values)
    axis = charts.axis_of(values, lines)
    notes = []
    for row, (result, rank) in enumerate(zip(results, ranks(table, index), strict=True)):
        text = rank.note.replace(" = ", "\u00a0=\u00a0").replace(" < ", "\u00a0<\u00a0")
        if column.key not in result.values:
            text = result.absent.get(column.key, "not measured")
        if text:
            notes.append((row, result.subject.name, text))
    return {
        "title": column.title,
        "chart": charts.forest(column.title, rows, lines, axis),
        "lines": [(line.kind if axis.holds(line) else "", axis.legend(line)) for line in lines],
        "ranks": notes,
    }


def floor(results: Sequence[Result]) -> View | None:
    """FID over its noise floor, where both have one count and no interval is drawn."""
    for name, first in results[0].values.items():
        if has_ratio(first) and first.floor and comparable_floor(first) is not None:
            rows = {result.subject.name: result.values.get(name) for result in results}
            if any(value and value.interval for value in rows.values()):
                return None
            chart = charts.bars(f"FID of {first.num_images:,} images", rows)
            images = f"{first.num_images:,}"
            return {"images": images, "score": short(first.floor), "chart": chart}
    return None


def curves(results: Sequence[Result]) -> View:
    """Every model's training loss over steps, and the names of models without one."""
    histories = {
        result.subject.name: [
            (float(step), float(loss)) for step, loss in result.provenance.get("history") or []
        ]
        for result in results
    }
    rows = {name: row for row, name in enumerate(histories)}
    ends = training_curves.ends(histories)
    return {
        "missing": ", ".join(name for name, curve in histories.items() if len(curve) < 2),
        "legend": [(training_curves.key(rows[name]), name, end) for name, end in ends.items()],
        "narrow": training_curves.curves(histories),
        "wide": training_curves.curves(histories, charts.WIDE),
    }


def distances(results: Sequence[Result]) -> View | None:
    """Distances to the nearest training image, and those of held-out images; None if absent."""
    values = [
        (result.subject.name, value)
        for result in results
        for value in result.values.values()
        if value.column == "section"
    ]
    if not values:
        return None
    first = values[0][1]
    keys = [key for key in first.detail if re.fullmatch(r"p\d+", key)]
    test = {k.removeprefix("test_"): v for k, v in first.detail.items() if k.startswith("test_")}
    rows = [(row, [*_percentiles(value.detail, keys), _closer(value)]) for row, value in values]
    if test:
        rows.append(("held-out real images", [*_percentiles(test, keys), NONE]))
    names = {"p50": "median", "p1": "1st"}
    return {
        "definition": first.definition,
        "heads": [names.get(key, f"{key[1:]}th") for key in keys],
        "rows": rows,
        "held_out": bool(test),
    }


def _percentiles(detail: Mapping[str, float], keys: Sequence[str]) -> list[str]:
    return [short(detail[key]) if key in detail else NONE for key in keys]


def _closer(value: Value) -> str:
    closer = value.detail.get("closer_than_any_test")
    return NONE if closer is None else f"{closer:,.0f} of {value.num_images:,}"
