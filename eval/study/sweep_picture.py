"""What a sweep shows: quality against cost, and the trade that guidance makes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from eval.result.record import Result
from eval.table.formatting import title_of

COST = "network evaluations"


@dataclass(frozen=True)
class Point:
    """One point of a sweep.

    Attributes:
        settings: swept key to value, as text, in the order of the axes.
        result: what was measured there.
    """

    settings: dict[str, str]
    result: Result


def picture(points: Sequence[Point]) -> bytes:
    """PNG: FID over evaluations and over time; FID over CLIP score; precision over recall.

    A line joins the points that differ in one number alone; hollow rings mark the Pareto front,
    which no other point beats in both directions; thin bars are 95 % intervals, for these weights
    and this reference.
    """
    panels = _panels(points)
    figure = Figure(figsize=(5.2 * len(panels), 5.0), layout="constrained")
    numeric = _numeric_axes(points)
    scales = [key for key in numeric if key.endswith("scale")]
    steps = [key for key in numeric if key not in scales]
    for axes, (x, y) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        cost = not x.higher_is_better  # a line runs along the steps, or along guidance in a trade
        along = [*scales, *steps] if cost else [*steps, *scales]
        _draw(axes, points, x, y, along[-1] if along else None)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


class Quantity:
    """One axis of a panel.

    Args:
        title: with its unit.
        read: a point to its number, or None.
        higher_is_better: the direction of quality.
        logarithmic: how it is drawn.
        interval: a point to the ends of its 95 % interval, or None.
    """

    def __init__(
        self,
        title: str,
        read: Callable[[Point], float | None],
        higher_is_better: bool,
        logarithmic: bool = False,
        interval: Callable[[Point], list[float] | None] = lambda point: None,
    ) -> None:
        self.title, self.read, self.interval = title, read, interval
        self.higher_is_better, self.logarithmic = higher_is_better, logarithmic


def front(pairs: Sequence[tuple[float, float]], better: tuple[bool, bool]) -> list[int]:
    """Indices of the pairs that no other beats in one direction and matches in the other.

    >>> front([(1, 5), (2, 3), (3, 4)], (False, False))
    [0, 1]
    """
    signed = [
        tuple(value if up else -value for value, up in zip(pair, better, strict=True))
        for pair in pairs
    ]
    return [
        i
        for i, one in enumerate(signed)
        if not any(o[0] >= one[0] and o[1] >= one[1] and o != one for o in signed)
    ]


def _panels(points: Sequence[Point]) -> list[tuple[Quantity, Quantity]]:
    fid = _value(points, "fid")
    cost = Quantity(
        COST, lambda point: point.result.subject.network_evaluations, False, logarithmic=True
    )
    time = Quantity("seconds per image", _seconds, False, logarithmic=True)
    quality = fid or _first_value(points)
    panels = [(cost, quality)]
    if all(_seconds(point) is not None for point in points):
        panels.append((time, quality))
    pairs = (
        (_value(points, "clip_score"), fid),
        (_value(points, "recall"), _value(points, "precision")),
    )
    return panels + [(x, y) for x, y in pairs if x is not None and y is not None]


def _value(points: Sequence[Point], stem: str) -> Quantity | None:
    """The last value of a metric, FID's at the largest count."""
    found = [
        (name, value)
        for name, value in points[0].result.values.items()
        if name.startswith(stem) and value.higher_is_better is not None
    ]
    if not found:
        return None
    name, value = found[-1]

    def read(point: Point) -> float | None:
        one = point.result.values.get(name)
        return None if one is None else one.value

    def interval(point: Point) -> list[float] | None:
        one = point.result.values.get(name)
        return None if one is None else one.interval

    up, log = bool(value.higher_is_better), stem == "fid"
    return Quantity(title_of(name, value), read, up, log, interval)


def _first_value(points: Sequence[Point]) -> Quantity:
    found = _value(points, "")
    assert found is not None, "an evaluation has a value"
    return found


def _seconds(point: Point) -> float | None:
    speed = point.result.values.get("images_per_second")
    return None if speed is None else 1 / speed.value


def _draw(axes: Any, points: Sequence[Point], x: Quantity, y: Quantity, along: str | None) -> None:
    drawn: list[tuple[float, float]] = []
    for label, group in _lines(points, along):
        pairs = [(x.read(point), y.read(point)) for point in group]
        measured = [c for c, (a, b) in zip(group, pairs, strict=True) if None not in (a, b)]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if not known:
            continue
        drawn += known
        (line,) = axes.plot(
            *zip(*known, strict=True), marker="o", markersize=5, linewidth=1.4, label=label
        )
        for point, pair in zip(measured, known, strict=True):
            _bars(axes, point, pair, x, y, line.get_color())
            axes.annotate(
                "" if along is None else point.settings[along], pair,
                textcoords="offset points", xytext=(5, 4), fontsize=7, alpha=0.8,
            )  # fmt: skip
    best = front(drawn, (x.higher_is_better, y.higher_is_better))
    axes.scatter(
        [drawn[i][0] for i in best], [drawn[i][1] for i in best], s=110, facecolors="none",
        edgecolors="black", linewidths=1.1, label="Pareto front", zorder=3,
    )  # fmt: skip
    axes.set_xlabel(x.title + _arrow(x))
    axes.set_ylabel(y.title + _arrow(y))
    for quantity, axis, values in (
        (x, "x", [a for a, _ in drawn]),
        (y, "y", [b for _, b in drawn]),
    ):
        if quantity.logarithmic and min(values) > 0:
            _log(axes, axis, values)
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(  # below, for within it would cover points
        fontsize=7, title="" if along is None else f"along {along}", title_fontsize=7,
        loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False,
    )  # fmt: skip


def _bars(
    axes: Any, point: Point, pair: tuple[float, float], x: Quantity, y: Quantity, color: str
) -> None:
    """The intervals of one point, in both directions."""
    if y.interval(point):
        axes.plot([pair[0]] * 2, y.interval(point), color=color, linewidth=0.8, alpha=0.45)
    if x.interval(point):
        axes.plot(x.interval(point), [pair[1]] * 2, color=color, linewidth=0.8, alpha=0.45)


def _log(axes: Any, axis: str, values: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 of each decade."""
    getattr(axes, f"set_{axis}scale")("log")
    part = getattr(axes, f"{axis}axis")
    part.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    part.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    part.set_minor_formatter(NullFormatter())


def _arrow(quantity: Quantity) -> str:
    return " (higher is better)" if quantity.higher_is_better else " (lower is better)"


def _lines(points: Sequence[Point], along: str | None) -> list[tuple[str, list[Point]]]:
    """Cells that differ in one axis alone, each line with the rest as its name."""

    def rest(point: Point) -> str:
        kept = {key: value for key, value in point.settings.items() if key != along}
        return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in kept.items())

    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(rest(point), []).append(point)
    return [(name or "all", group) for name, group in groups.items()]


def _numeric_axes(points: Sequence[Point]) -> list[str]:
    found = []
    for key in points[0].settings:
        try:
            [float(point.settings[key]) for point in points]
        except ValueError:
            continue
        found.append(key)
    return found
