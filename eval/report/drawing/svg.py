"""Matplotlib figures as SVG within a page, in its colours and font, with an ARIA label.

Colours are variables of the page's style sheet, so that a figure follows it into dark mode.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib.style
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from zoo.system.text import one_line

_PAINTS = ["ink", "quiet", "line", "card", "floor", "ceiling", "chance"]
_PAINTS += [f"series-{i}" for i in range(8)]
_MARGIN = 10  # pixels above the axes and at their right
_STYLE = {
    "svg.fonttype": "none", "figure.dpi": 72, "text.parse_math": False,
    "font.family": ["DejaVu Sans"], "font.size": 12, "lines.solid_capstyle": "butt",
    "axes.grid": True, "axes.axisbelow": True, "grid.linewidth": 1,
}  # fmt: skip

styled = matplotlib.style.context(["default", _STYLE])
"""Decorator of functions that draw a figure: the same bytes whatever the user's own style."""


def paint(name: str) -> str:
    """A placeholder colour, which becomes the style sheet's variable ``--name`` in the SVG."""
    return f"#fe00{_PAINTS.index(name):02x}"


def series(row: int) -> str:
    """The colour of a model, which is that of its row."""
    return paint(f"series-{row % 8}")


def canvas(width: int, height: int, left: int, bottom: int) -> tuple[Figure, Any]:
    """A figure and its axes; lengths are pixels of the page at the figure's natural width.

    ``left`` and ``bottom`` are room for numbers outside the axes.
    """
    whole = height + bottom + _MARGIN
    size = (1 - (left + _MARGIN) / width, height / whole)
    figure = Figure(figsize=(width / 72, whole / 72))
    axes = figure.add_axes((left / width, bottom / whole, *size))
    for background in (figure.patch, axes.patch, axes.spines[:]):
        background.set_visible(False)
    axes.tick_params(which="both", length=0, labelcolor=paint("quiet"), pad=7)
    axes.grid(color=paint("line"), clip_on=False)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
    return figure, axes


def labels_inside(axes: Any, low: float, high: float) -> list[float]:
    """The horizontal axis's ticks, after labels at its ends were moved within the card."""
    ticks = [float(tick) for tick in axes.get_xticks() if low <= tick <= high]
    axes.set_xticks(ticks)
    for tick, label in zip(ticks, axes.get_xticklabels(), strict=True):
        at = (tick - low) / (high - low)
        label.set_ha("left" if at < 0.03 else "right" if at > 0.97 else "center")
    return ticks


def inline(figure: Figure, title: str, readings: Mapping[str, str]) -> Markup:
    """The figure as an ``svg`` element without identifiers that two figures could share.

    A ``gid`` "class:NAME" becomes the class NAME. Nothing may be clipped, because clip paths are
    loaded from an address.

    A screen reader reads ``readings``, name to numbers in words, instead of the figure.
    """
    label = one_line(f"{title}: " + "; ".join(f"{name} {text}" for name, text in readings.items()))
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": label}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    head, _, body = buffer.getvalue().partition("</style>\n </defs>")
    box = re.search(r'viewBox="[\d. ]+"', head)
    assert box is not None, "matplotlib's SVG has a view box"
    body = re.sub(r"<[^>]*>", _tag, body)
    return Markup(f'<svg {box[0]} role="img" aria-label="{escape(label)}">{body}')


def _tag(match: re.Match[str]) -> str:
    """One tag for this page; text between tags is left alone."""
    tag = " ".join(match[0].split()).replace("xlink:href", "href")
    tag = re.sub(r'<g id="class:([^"]*)"', r'<g class="\1"', tag)
    tag = re.sub(r'<g id="[^"]*"', "<g", tag)
    tag = re.sub(r"font-family: [^;\"]*(; )?", "", tag)
    return re.sub("#fe00(..)", lambda colour: f"var(--{_PAINTS[int(colour[1], 16)]})", tag)
