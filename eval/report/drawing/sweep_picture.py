"""The picture of a sweep: quality against cost, and the trade-offs of guidance."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.typing import ColorType

from eval.report.drawing.points import Point, lines_of, numeric_axes
from eval.report.picture import PLAIN_TEXTS
from eval.result.record import Value
from eval.table.formatting import has_ratio, title_of
from zoo.system.text import one_line

_MOST = 5  # panels
_MARKERS, _STROKES = "osD^vP", ("-", "--", ":", "-.")  # tell lines apart that lie on one another


@matplotlib.rc_context(PLAIN_TEXTS)
def picture(points: Sequence[Point]) -> bytes:
    """PNG of at most five panels.

    The first distance (FID) over network evaluations and over time; that distance over the score of
    another network (CLIP score); two shares of one network (precision over recall); then further
    metrics over network evaluations. Where all points take as many evaluations, as in a sweep over
    lengths of averages, everything is drawn over the last swept number instead.

    A line joins the points that differ in one number alone; hollow rings mark the Pareto front,
    which no other point beats in both directions; thin bars are 95 % intervals, for these weights
    and this reference.
    """
    panels = _panels(points)
    figure = Figure(figsize=(5.2 * len(panels), 5.0), layout="constrained")
    numeric = numeric_axes(points)
    scales = [key for key in numeric if key.endswith("scale")]
    steps = [key for key in numeric if key not in scales]
    for axes, (x, y) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        cost = not x.higher_is_better  # a line runs along the steps, or along guidance in a trade
        along = [*scales, *steps] if cost else [*steps, *scales]
        _draw(axes, points, x, y, along[-1] if along else None)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


@dataclass(frozen=True)
class Quantity:
    """One axis of a panel.

    Attributes:
        title: with its unit.
        read: a point to its number, or None.
        higher_is_better: the direction of quality; None of a setting.
        logarithmic: whether the axis is.
        interval: a point to the ends of its 95 % interval, or None.
    """

    title: str
    read: Callable[[Point], float | None]
    higher_is_better: bool | None = False
    logarithmic: bool = False
    interval: Callable[[Point], list[float] | None] = lambda point: None


def front(pairs: Sequence[tuple[float, float]], better: tuple[bool, bool]) -> list[int]:
    """Indices of the pairs that no other pair matches in both directions and beats in one.

    >>> front([(1, 5), (2, 3), (3, 4)], (False, False))
    [0, 1]
    """
    signed = [
        tuple(value if up else -value for value, up in zip(pair, better, strict=True))
        for pair in pairs
    ]
    return [
        i
        for i, (a, b) in enumerate(signed)
        if not any(c >= a and d >= b and (c, d) != (a, b) for c, d in signed)
    ]


def _panels(points: Sequence[Point]) -> list[tuple[Quantity, Quantity]]:
    """Pairs of horizontal and vertical axis."""
    cost = Quantity("network evaluations", lambda point: point.evaluations, logarithmic=True)
    time = Quantity("seconds per image", _seconds, logarithmic=True)
    numbers = numeric_axes(points)
    setting = numbers and len(points) > 1 and len({point.evaluations for point in points}) == 1
    if setting and not numbers[-1].endswith("scale"):  # which has panels of its own
        cost = Quantity(numbers[-1], lambda point: float(point.settings[numbers[-1]]), None)
    metrics = _metrics(points[0])
    assert metrics, "an evaluation has a metric with a direction"
    main = next((n for n, value in metrics.items() if has_ratio(value)), next(iter(metrics)))
    pairs = [(cost, main)]
    if cost.logarithmic and all(_seconds(point) is not None for point in points):
        pairs.append((time, main))
    trades = _trades(points, metrics, main)
    pairs += [(_quantity(x, metrics[x]), y) for x, y in trades]
    in_panels = {main, *(name for trade in trades for name in trade)}
    rest = sorted(metrics.keys() - in_panels, key=list(metrics).index)
    pairs += [(cost, name) for name in sorted(rest, key=lambda name: metrics[name].distance)]
    return [(x, _quantity(name, metrics[name])) for x, name in pairs[:_MOST]]


def _metrics(point: Point) -> dict[str, Value]:
    """The values with a direction of quality; of one metric that at the largest count.

    A metric that is measured at several counts has names that end in these.
    """
    metrics: dict[str, tuple[str, Value]] = {}
    for name, value in point.result.values.items():
        if value.higher_is_better is not None and value.column == "quality":
            metrics[name.removesuffix(f"_{value.num_images}")] = name, value
    return dict(metrics.values())


def _trades(points: Sequence[Point], metrics: dict[str, Value], main: str) -> list[tuple[str, str]]:
    """Pairs of metrics between which guidance decides, by name."""
    rising = [name for name, value in metrics.items() if value.higher_is_better]
    trades = []
    if has_ratio(metrics[main]):
        others = (n for n in rising if metrics[n].extractor not in (None, metrics[main].extractor))
        trades += [(name, main) for name in itertools.islice(others, 1)]
    values = {n: [p.result.values[n].value for p in points if n in p.result.values] for n in rising}
    shares = [name for name in rising if all(0 <= value <= 1 for value in values[name])]
    pairs = itertools.combinations(shares, 2)
    of_one_network = ((b, a) for a, b in pairs if metrics[a].extractor == metrics[b].extractor)
    return [*trades, *itertools.islice(of_one_network, 1)]


def _quantity(name: str, value: Value) -> Quantity:
    def read(point: Point) -> float | None:
        measured = point.result.values.get(name)
        return None if measured is None else measured.value

    def interval(point: Point) -> list[float] | None:
        measured = point.result.values.get(name)
        return None if measured is None else measured.interval

    better, logarithmic = bool(value.higher_is_better), has_ratio(value)
    return Quantity(one_line(title_of(name, value)), read, better, logarithmic, interval)


def _seconds(point: Point) -> float | None:
    speeds = [value for value in point.result.values.values() if value.unit == "1/s"]
    return 1 / speeds[0].value if speeds else None


def _draw(axes: Axes, points: Sequence[Point], x: Quantity, y: Quantity, along: str | None) -> None:
    pairs: list[tuple[float, float]] = []
    for number, (label, group) in enumerate(lines_of(points, along)):
        by_point = []
        for point in group:
            a, b = x.read(point), y.read(point)
            if a is not None and b is not None:
                by_point.append((point, (a, b)))
        if not by_point:
            continue
        of_line = [pair for _, pair in by_point]
        pairs += of_line
        (line,) = axes.plot(
            *zip(*of_line, strict=True), marker=_MARKERS[number % 6], markersize=5,
            linestyle=_STROKES[number % 4], linewidth=1.4, label=label,
        )  # fmt: skip
        for point, pair in by_point:
            _bars(axes, point, pair, x, y, line.get_color())
            axes.annotate(
                "" if along is None else one_line(point.settings[along]), pair,
                textcoords="offset points", xytext=(5, 4), fontsize=7, alpha=0.8,
            )  # fmt: skip
    up, label = bool(y.higher_is_better), "Pareto front"
    best = front(pairs, (bool(x.higher_is_better), up))
    if x.higher_is_better is None:
        heights = [height for _, height in pairs]
        best, label = [heights.index(max(heights) if up else min(heights))], "best"
    axes.scatter(
        [pairs[i][0] for i in best], [pairs[i][1] for i in best], s=110, facecolors="none",
        edgecolors="black", linewidths=1.1, label=label, zorder=3,
    )  # fmt: skip
    axes.set_xlabel(x.title + _arrow(x))
    axes.set_ylabel(y.title + _arrow(y))
    for quantity, axis, values in zip((x, y), "xy", zip(*pairs, strict=True), strict=True):
        if quantity.logarithmic and min(values) > 0:
            _log(axes, axis)
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(  # below the axes, where it covers no points
        fontsize=7, title="" if along is None else f"along {one_line(along)}", title_fontsize=7,
        loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False,
    )  # fmt: skip


def _bars(
    axes: Axes, point: Point, pair: tuple[float, float], x: Quantity, y: Quantity, color: ColorType
) -> None:
    """The intervals of one point, in both directions."""
    if ends := y.interval(point):
        axes.plot([pair[0]] * 2, ends, color=color, linewidth=0.8, alpha=0.45)
    if ends := x.interval(point):
        axes.plot(ends, [pair[1]] * 2, color=color, linewidth=0.8, alpha=0.45)


def _log(axes: Axes, axis: str) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 of each decade."""
    getattr(axes, f"set_{axis}scale")("log")
    part = getattr(axes, f"{axis}axis")
    part.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    part.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    part.set_minor_formatter(NullFormatter())


def _arrow(quantity: Quantity) -> str:
    if quantity.higher_is_better is None:
        return ""
    return " (higher is better)" if quantity.higher_is_better else " (lower is better)"
