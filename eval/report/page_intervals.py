"""The page's charts of intervals: how sure each number is, and what may be said of two."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from eval.report.axis import Axis, Line, axis_of, lines_of, ticks
from eval.result.record import Result, Value
from eval.table.formatting import NONE, short
from eval.table.ranking import standings
from eval.table.table import Table
from eval.table.verdict import note as verdict_note
from eval.table.verdict import sentences

_INTERVAL_NOTE = (
    "A dot is the number over all images. Its bar is the 95 % interval: how far the number would "
    "move with other images of the same weights, against the same reference. It covers that "
    "sampling noise alone."
)
_TRAINING_NOTE = (
    "A dot is the mean over the trainings of a method, the small ones are the trainings. The bar "
    "is the 95 % interval: how far the mean would move with other trainings."
)


def intervals(table: Table, results: Sequence[Result]) -> str:
    """A chart for every metric with an interval: all rows on one axis, the verdict beside each."""
    names = [
        column.key
        for column in table.columns
        if any(column.key in r.values and r.values[column.key].interval for r in results)
    ]
    if not names:
        return ""
    heading = "How sure are these numbers?"
    several = any(value.trainings for result in results for value in result.values.values())
    meant = _TRAINING_NOTE if several else _INTERVAL_NOTE
    note = f"<p class='quiet'>{escape(meant)}</p>"
    if table.verdicts:
        heading = "Which differences are more than chance?"
        note += f"<p class='quiet'>{escape(verdict_note(table.verdicts))}</p>"
    cards = "".join(_card(table, results, name) for name in names)
    return (
        f'<section id="verdicts"><h2>{heading}</h2>{note}<div class="forests">{cards}</div>'
        "</section>"
    )


def _card(table: Table, results: Sequence[Result], name: str) -> str:
    index = [column.key for column in table.columns].index(name)
    values = [r.values[name] for r in results if name in r.values]
    lines = lines_of(name, values)
    axis = axis_of(values, lines)
    marks, labels = _scale(axis, lines)
    said = [standing.said for standing in standings(table, index)]
    rows = []
    for row, result in enumerate(results):
        value = result.values.get(name)
        filled = (
            _absent(result.absent.get(name, "not measured"), marks)
            if value is None
            else _measured(value, marks, axis, f"s{row % 8}", said[row])
        )
        dot = f'<i class="dot s{row % 8}"></i>'
        rows.append(
            f'<div class="row"><div class="name">{dot}{_broken(result.subject.name)}</div>'
            f"{filled}</div>"
        )
    return (
        f'<article class="card"><h3>{escape(table.columns[index].title)}</h3>{"".join(rows)}'
        f'<div class="row scale"><div class="axis" aria-hidden="true">{labels}</div></div>'
        f"{_legend(lines, axis)}{_all_pairs(table, name)}</article>"
    )


def _scale(axis: Axis, lines: Sequence[Line]) -> tuple[str, str]:
    """What runs through every row's track, and the numbers below the last."""
    marks, labels = [], []
    for tick in ticks(axis.low, axis.high, 5):
        where = f'style="left:{axis.percent(tick):.2f}%"'
        marks.append(f'<i class="tick" {where}></i>')
        labels.append(f"<b {where}>{tick:,g}</b>")
    for line in lines:
        if line.comparable and axis.holds(line.at):
            where = f'style="left:{axis.percent(line.at):.2f}%"'
            marks.append(f'<i class="line {line.kind}" {where}></i>')
    return "".join(marks), "".join(labels)


def _measured(value: Value, marks: str, axis: Axis, series: str, said: str) -> str:
    told, span = "no interval", ""
    if value.interval is not None:
        low, high = value.interval
        told = f"{short(low)} to {short(high)}"
        left, width = axis.percent(low), axis.percent(high) - axis.percent(low)
        span = f'<i class="span {series}" style="left:{left:.2f}%;width:{width:.2f}%"></i>'
    span += "".join(
        f'<i class="one {series}" style="left:{axis.percent(one):.2f}%"></i>'
        for one in value.trainings
    )
    point = f'<i class="point {series}" style="left:{axis.percent(value.value):.2f}%"></i>'
    label = f"{short(value.value)}, 95 % interval: {told}"
    return (
        f'<div class="track" role="img" aria-label="{label}" title="{label}">{marks}{span}{point}'
        f'</div><div class="reading"><b>{short(value.value)}</b><small>{told}</small>'
        f"<small>{_kept(said)}</small></div>"
    )


def _absent(why: str, marks: str) -> str:
    return (
        f'<div class="track">{marks}</div>'
        f'<div class="reading"><b>{NONE}</b><small>{escape(why)}</small></div>'
    )


def _legend(lines: Sequence[Line], axis: Axis) -> str:
    items = []
    for line in lines:
        aside = ""
        if line.comparable and not axis.holds(line.at):
            aside = ", left of this axis" if line.at < axis.low else ", right of this axis"
        drawn = line.comparable and not aside
        mark = f'<i class="key {line.kind}"></i>' if drawn else ""
        items.append(f"<li>{mark}{escape(line.said + aside)}</li>")
    return f'<ul class="legend">{"".join(items)}</ul>' if items else ""


def _all_pairs(table: Table, name: str) -> str:
    """Every verdict of a metric; two rows have but one, which stands beside them already."""
    said = sentences(table.verdicts).get(name, [])
    if len(said) < 2:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in said)
    return f"<details><summary>All {len(said)} pairs</summary><ul>{items}</ul></details>"


def _kept(said: str) -> str:
    """Escaped, with p on one line."""
    return escape(said.replace(" = ", "\u00a0=\u00a0").replace(" < ", "\u00a0<\u00a0"))


def _broken(name: str) -> str:
    """Escaped, and breakable at underscores."""
    return escape(name).replace("_", "_<wbr>")
