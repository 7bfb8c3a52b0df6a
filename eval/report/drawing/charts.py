"""The page's charts of numbers: intervals of a metric, distances over their floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from eval.report.drawing.svg import canvas, inline, labels_inside, paint, series, styled
from eval.result.record import Value
from eval.table.formatting import NONE, short
from zoo.system.text import one_line

NARROW, WIDE = 350, 900  # pixels of a chart: on a phone or in a card, and across the page
_ROW, _TEXT, _MARK = 52, 10, 31  # pixels: the height of a row, where its text and its mark are
_READABLE = 3  # an axis may grow to this multiple of its intervals' span to include a line
_DASHES = {"floor": "--", "ceiling": "-", "chance": ":"}


class Line(NamedTuple):
    """A number of real images, drawn for comparison with the values.

    Attributes:
        kind: "floor", "ceiling" or "chance".
        at: the number.
        text: its description.
        comparable: whether it may be drawn beside the values.
    """

    kind: str
    at: float
    text: str
    comparable: bool = True


class Axis(NamedTuple):
    """A chart's range."""

    low: float
    high: float

    def holds(self, line: Line) -> bool:
        """Whether a line is within the range."""
        return line.comparable and self.low <= line.at <= self.high

    def legend(self, line: Line) -> str:
        """A line in words, with its side if it is outside the axis."""
        if self.holds(line) or not line.comparable:
            return line.text
        return f"{line.text}, to the {'left' if line.at < self.low else 'right'} of this axis"


def lines_of(values: Sequence[Value]) -> list[Line]:
    """Noise floor, ceiling and chance of a metric, each distinct number once."""
    lines: list[Line] = []
    first = values[0]
    for floor, of, count in dict.fromkeys((v.floor, v.floor_images, v.num_images) for v in values):
        if floor is None:
            continue
        comparable = not of or of == count or first.unbiased
        images = f" of {of:,} real images" if of else ""
        reason = "" if comparable else f"; not drawn, because the values are of {count:,}"
        what = "noise floor" if first.distance else "held out"
        lines.append(Line("floor", floor, f"{what}{images}: {short(floor)}{reason}", comparable))
    for ceiling in dict.fromkeys(v.ceiling for v in values if v.ceiling is not None):
        lines.append(Line("ceiling", ceiling, f"real images: {short(ceiling)}"))
    for chance in dict.fromkeys(v.chance for v in values if v.chance is not None):
        lines.append(Line("chance", chance, f"chance: {short(chance)}"))
    return lines


def axis_of(values: Sequence[Value], lines: Sequence[Line]) -> Axis:
    """A range for all intervals, and for each line that leaves the intervals readable."""
    ends = [end for v in values for end in (*(v.interval or ()), *v.trainings, v.value)]
    low, high = min(ends), max(ends)
    span = (high - low) or abs(high) or 1.0
    for line in lines:
        wider = min(low, line.at), max(high, line.at)
        if line.comparable and wider[1] - wider[0] <= _READABLE * span:
            low, high = wider
    pad = 0.06 * ((high - low) or span)
    return Axis(low - pad, high + pad)


@styled
def forest(
    title: str, rows: Mapping[str, Value | None], lines: Sequence[Line], axis: Axis
) -> Markup:
    """A row per model on one axis: its number, its 95 % interval, its trainings' own numbers."""
    readings = {name: reading(value) for name, value in rows.items()}
    figure, axes = _rows(readings, axis, scale=24)
    for tick in labels_inside(axes, *axis):
        _through(axes, tick, range(len(rows)), color=paint("line"), linewidth=1)
    for line in filter(axis.holds, lines):
        style = {"color": paint(line.kind), "linestyle": _DASHES[line.kind]}
        _through(axes, line.at, range(len(rows)), gid=f"class:{line.kind}", **style)
    for row, value in enumerate(rows.values()):
        if value is not None:
            _measured(axes, value, row)
    return inline(figure, f"{title}, with 95 % intervals", readings)


def reading(value: Value | None) -> str:
    """A value with its interval, in words."""
    if value is None:
        return NONE
    interval = "no interval" if value.interval is None else " to ".join(map(short, value.interval))
    return f"{short(value.value)} ({interval})"


def _measured(axes: Any, value: Value, row: int) -> None:
    middle, colour, card = _ROW * row + _MARK, series(row), paint("card")
    if value.interval is not None:
        axes.plot(
            value.interval, [middle] * 2, color=colour, alpha=0.38, linewidth=8, clip_on=False,
            gid="class:span",
        )  # fmt: skip
    for number in value.trainings:
        axes.plot(
            number, middle, "o", markersize=6, markerfacecolor=card, markeredgecolor=colour,
            markeredgewidth=1.5, clip_on=False, gid="class:training",
        )  # fmt: skip
    axes.plot(
        value.value, middle, "o", markersize=12, markerfacecolor=colour, markeredgecolor=card,
        markeredgewidth=2, clip_on=False, gid="class:point",
    )  # fmt: skip


@styled
def bars(title: str, rows: Mapping[str, Value | None]) -> Markup:
    """Each value over its floor as a bar, beside a line at 1; a row without a floor has none."""
    ratios, readings = [], {}
    for name, value in rows.items():
        ratios.append(value.value / value.floor if value and value.floor else None)
        readings[name] = NONE
        if value and value.floor:
            readings[name] = f"{short(value.value / value.floor)}× ({short(value.value)})"
    longest = max(1.0, *(ratio or 0.0 for ratio in ratios))
    figure, axes = _rows(readings, Axis(0.0, longest), scale=0)
    axes.xaxis.set_major_locator(NullLocator())
    for row, ratio in enumerate(ratios):
        if ratio is not None:
            for length, colour in ((longest, paint("line")), (ratio, series(row))):
                axes.barh(_ROW * row + _MARK, length, height=14, color=colour, clip_on=False)
            _through(axes, 1, [row], color=paint("ink"))
    return inline(figure, f"{title}, times its noise floor", readings)


def _rows(readings: Mapping[str, str], axis: Axis, scale: int) -> tuple[Figure, Any]:
    """A figure with the name and the reading of every row, and room for a mark below them."""
    height = _ROW * len(readings)
    figure, axes = canvas(NARROW, height, left=8, bottom=scale)
    axes.set_xlim(axis)
    axes.set_ylim(height, 0)
    axes.yaxis.set_major_locator(NullLocator())
    axes.grid(visible=False)
    across = axes.get_yaxis_transform()
    for row, (name, text) in enumerate(readings.items()):
        top = _ROW * row + _TEXT
        axes.plot(0.012, top, "o", markersize=9, color=series(row), clip_on=False, transform=across)
        style = {"va": "center_baseline", "color": paint("ink"), "transform": across}
        axes.text(0.045, top, _fitted(name, text), weight="bold", fontsize=13, **style)
        axes.text(1, top, text, ha="right", **style)
    return figure, axes


def _through(axes: Any, at: float, rows: Sequence[int], **style: Any) -> None:
    """A vertical line at a number, through the marks of some rows but not through their texts."""
    tops = [_ROW * row + _MARK - 11 for row in rows]
    feet = [top + 22 for top in tops]
    axes.vlines([at] * len(tops), tops, feet, clip_on=False, **{"linewidth": 2, **style})


def _fitted(name: str, text: str) -> str:
    """A name that leaves room for its row's reading: one too long loses its middle."""
    name = one_line(name)
    most = int((310 - 6 * len(text)) / 8.3)  # pixels
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"
