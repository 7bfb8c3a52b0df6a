"""Images and curves as they stand on a page: PNG grids, curves as SVG, the comparison's figure."""

from __future__ import annotations

import io
import math
from html import escape
from itertools import pairwise

import torch
from torch import Tensor

Curve = list[tuple[float, float]]
"""Pairs of step and loss."""


def tile(images: Tensor, columns: int, gap: int = 1) -> Tensor:
    """Lays images out in rows, with a transparent gap between them.

    Args:
        images: (N, 1 or 3, H, W) uint8.
        columns: images per row.
        gap: pixels between images.

    Returns:
        (H', W', 4) uint8, RGBA.
    """
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    count, _, height, width = images.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    sheet = torch.zeros(
        rows * (height + gap) - gap, columns * (width + gap) - gap, 4, dtype=torch.uint8
    )
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width, :3] = image.permute(1, 2, 0)
        sheet[top : top + height, left : left + width, 3] = 255
    return sheet


def png(sheet: Tensor) -> bytes:
    """Encodes (H, W, 4) uint8 as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(sheet.cpu().numpy()).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def side_by_side(sheets: dict[str, bytes], subtitles: dict[str, str]) -> bytes:
    """One PNG with every model's sample grid under its name.

    Args:
        sheets: name to PNG, in the order of the panels.
        subtitles: name to a line below the name.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    images = {name: Image.open(io.BytesIO(data)) for name, data in sheets.items()}
    tallest = max(image.height / image.width for image in images.values())
    figure = Figure(figsize=(3.1 * len(images), 3.1 * tallest + 0.75), dpi=160, facecolor="white")
    FigureCanvasAgg(figure)  # a figure of its own, so that no GUI backend or global state is used
    for index, (name, image) in enumerate(images.items()):
        axes = figure.add_subplot(1, len(images), index + 1)
        axes.imshow(image, interpolation="nearest")
        axes.set_title(f"{name}\n{subtitles.get(name, '')}".rstrip(), fontsize=10)
        axes.set_axis_off()
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.1)
    return buffer.getvalue()


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


WIDTH, HEIGHT = 860, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 16, 40


def curves_svg(curves: dict[str, Curve]) -> str:
    """Loss over training step as SVG, the loss on a logarithmic axis.

    Its colours are the page's (``--series-0`` and so on). Empty where no curve has two points.
    """
    lines = {name: smoothed([p for p in curve if p[1] > 0]) for name, curve in curves.items()}
    drawn = {name: line for name, line in lines.items() if len(line) > 1}
    if not drawn:
        return ""
    last = max(line[-1][0] for line in drawn.values())
    losses = [loss for line in drawn.values() for _, loss in line]
    low, high = math.log10(min(losses)), math.log10(max(losses))
    pad = 0.05 * max(high - low, 0.1)
    low, high = low - pad, high + pad

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(loss: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(loss)) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="training loss over steps">'
    ]
    for tick in _log_ticks(10**low, 10**high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" {_level(y(tick))}/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y(tick) + 4:.1f}">{tick:g}</text>')
    for tick in _ticks(last):
        where = f'x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 20}"'
        parts.append(f'<text class="tick middle" {where}>{tick:,.0f}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="tick middle" x="{middle}" y="{HEIGHT - 2}">training step</text>')
    ends = _spread([y(line[-1][1]) for line in drawn.values()], 16)
    for (name, line), end in zip(drawn.items(), ends, strict=True):
        index = list(curves).index(name) % 8
        path = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in line)
        label = f"{escape(name)}: {line[-1][1]:.3g} at the end"
        parts.append(
            f'<polyline class="s{index}" points="{path}"><title>{label}</title></polyline>'
        )
        where = f'x="{x(line[-1][0]) + 8:.1f}" y="{end + 4:.1f}"'
        parts.append(f'<text class="label s{index}" {where}>{escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def _level(height: float) -> str:
    return f'y1="{height:.1f}" y2="{height:.1f}"'


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _ticks(last: float) -> list[float]:
    step = 10 ** math.floor(math.log10(last))
    for divisor in (1, 2, 5, 10):
        if last / (step / divisor) >= 4:
            step /= divisor
            break
    return [tick * step for tick in range(int(last / step) + 1)]


def _spread(heights: list[float], apart: float) -> list[float]:
    """Moves labels down just so far that none covers another."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + apart)
    return placed
