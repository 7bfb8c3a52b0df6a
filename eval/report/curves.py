"""Training curves for a page: lines that stretch with it, labels that keep their size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from eval.report.axis import ticks

Curve = list[tuple[float, float]]
"""Pairs of step and loss."""

_SIZE = 1000  # the drawing's own units in both directions


def curves(histories: Mapping[str, Curve]) -> str:
    """Loss over training step as HTML, the loss on a logarithmic axis; "" where nothing is drawn.

    Colours are the page's (``s0`` and so on) in the order of the names. A curve needs two points.
    """
    lines = {name: smoothed([p for p in curve if p[1] > 0]) for name, curve in histories.items()}
    drawn = {name: line for name, line in lines.items() if len(line) > 1}
    if not drawn:
        return ""
    last = max(line[-1][0] for line in drawn.values())
    losses = [loss for line in drawn.values() for _, loss in line]
    low, high = math.log10(min(losses)), math.log10(max(losses))
    pad = 0.05 * max(high - low, 0.1)
    low, high = low - pad, high + pad

    def down(loss: float) -> float:
        return (high - math.log10(loss)) / (high - low)

    parts, names = [], []
    for tick in _log_ticks(10**low, 10**high):
        parts.append(f'<i class="rule" style="top:{100 * down(tick):.2f}%"><b>{tick:g}</b></i>')
    for tick in ticks(0, last, 4):
        parts.append(f'<i class="step" style="left:{100 * tick / last:.2f}%"><b>{tick:,g}</b></i>')
    parts.append(f'<svg viewBox="0 0 {_SIZE} {_SIZE}" preserveAspectRatio="none">')
    for name, line in drawn.items():
        series = f"s{list(histories).index(name) % 8}"
        points = " ".join(f"{_SIZE * s / last:.1f},{_SIZE * down(v):.1f}" for s, v in line)
        parts.append(f'<polyline class="{series}" points="{points}"/>')
        end = f"<small>{line[-1][1]:.3g} at the end</small>"
        names.append(f'<li><i class="dot {series}"></i>{escape(name)} {end}</li>')
    label = escape("training loss over steps: " + ", ".join(drawn))
    return (
        f'<div class="plot" role="img" aria-label="{label}">{"".join(parts)}</svg></div>'
        f'<p class="axis-name">training step</p><ul class="legend">{"".join(names)}</ul>'
    )


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


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if high / low < 1000 else (1,)
    found = [digit * 10.0**decade for decade in decades for digit in digits]
    return [tick for tick in found if low <= tick <= high]
