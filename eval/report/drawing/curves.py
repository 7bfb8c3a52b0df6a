"""The page's curves of training, told apart by colour and by stroke."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from eval.report.drawing.charts import NARROW
from eval.report.drawing.svg import canvas, inline, labels_inside, paint, series, styled

Curve = list[tuple[float, float]]
"""Pairs of step and loss."""

_DASHES = [(0, (12, 12)), (11, (6, 18)), (5, (2, 6)), (17, (2, 6, 2, 14))]
"""Where a stroke begins in its pattern, and the pattern: pixels of ink and of gap.

The first curve is solid. On one and the same curve the others leave gaps to each other and to it.
"""
_KEY = 72  # pixels


@styled
def curves(histories: Mapping[str, Curve], width: int = NARROW) -> Markup:
    """Loss over training step, the loss on a logarithmic axis; empty where nothing is drawn.

    Colours are the page's in the order of the names.

    Args:
        histories: name to its curve, which needs two points above 0 to be drawn.
        width: in pixels.
    """
    lines = _drawn(histories)
    if not lines:
        return Markup()
    figure, axes = canvas(width, 300, left=46, bottom=44)
    for row, name in enumerate(histories):
        if name in lines:
            axes.plot(*zip(*lines[name], strict=True), gid="class:curve", **_stroke(row))
    logs = [math.log10(loss) for line in lines.values() for _, loss in line]
    low, high = min(logs), max(logs)
    pad = 0.05 * max(high - low, 0.1)
    axes.set_xlim(0, max(step for name in lines for step, _ in histories[name]))
    axes.set_yscale("log")
    axes.set_ylim(10 ** (low - pad), 10 ** (high + pad))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high - low < 3 else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training step", color=paint("quiet"), labelpad=6)
    labels_inside(axes, *axes.get_xlim())
    return inline(figure, "training loss over steps", ends(histories))


@styled
def key(row: int) -> Markup:
    """The stroke of a row's curve, for the legend."""
    figure, axes = canvas(_KEY, 0, left=10, bottom=0)
    axes.set_axis_off()
    axes.plot([0, 1], [0, 0], **_stroke(row))
    return inline(figure, "", {})


def _stroke(row: int) -> dict[str, Any]:
    """How the curve of a row is drawn."""
    style: dict[str, Any] = {"color": series(row), "clip_on": False}
    if row == 0:
        return {**style, "linewidth": 3.4}
    width = 2.2 if row <= len(_DASHES) else 1.5
    offset, lengths = _DASHES[(row - 1) % len(_DASHES)]
    dashes = (offset / width, tuple(length / width for length in lengths))
    return {**style, "linewidth": width, "linestyle": dashes}


def ends(histories: Mapping[str, Curve]) -> dict[str, str]:
    """The last loss of every drawn curve, in words, by name."""
    return {name: f"{line[-1][1]:.3g} at the end" for name, line in _drawn(histories).items()}


def _drawn(histories: Mapping[str, Curve]) -> dict[str, Curve]:
    lines = {name: smoothed([p for p in curve if p[1] > 0]) for name, curve in histories.items()}
    return {name: line for name, line in lines.items() if len(line) > 1}


def smoothed(curve: Curve, points: int = 160) -> Curve:
    """Means over equal stretches of a curve, at most ``points`` of them; the steps' means too.

    >>> smoothed([(1, 4.0), (2, 2.0), (3, 1.0), (4, 1.0)], points=2)
    [(1.5, 3.0), (3.5, 1.0)]
    """
    curve = [(step, loss) for step, loss in curve if math.isfinite(loss)]
    size = max(1, math.ceil(len(curve) / points))
    groups = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [
        (sum(step for step, _ in group) / len(group), sum(loss for _, loss in group) / len(group))
        for group in groups
    ]
