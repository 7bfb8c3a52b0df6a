"""The page's sections that show rather than list: samples, bars, curves, memory."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape

from eval.report.curves import curves as drawn_curves
from eval.report.picture import fitted, size
from eval.result.record import Result, Value
from eval.table.formatting import NONE, is_frechet, short

_WIDEST = 1600  # pixels of an image on the page
_ENLARGED = 700  # narrower ones are drawn larger, pixel by pixel


def samples(grids: Mapping[str, bytes], results: Sequence[Result]) -> str:
    """Every model's grid of the same seeds and labels."""
    if not grids:
        return ""
    figures = "".join(_figure(data, name, f"sample grid: {name}") for name, data in grids.items())
    labels = escape(results[0].protocol.labels)
    return (
        '<section><h2>Samples</h2><p class="quiet">Not selected. The image at one place of each '
        f"model's grid was generated from the same seed and for the same label ({labels}).</p>"
        f'<div class="grids">{figures}</div></section>'
    )


def _figure(data: bytes, caption: str, alternative: str) -> str:
    data = fitted(data, _WIDEST)
    width, height = size(data)
    pixels = ' class="pixels"' if width < _ENLARGED else ""
    source = "data:image/png;base64," + base64.b64encode(data).decode()
    return (
        f'<figure><img{pixels} width="{width}" height="{height}" src="{source}" '
        f'alt="{escape(alternative)}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def floor(results: Sequence[Result]) -> str:
    """Bars: FID over its noise floor, where the floor is of its count and no interval is drawn."""
    name = next(
        (
            name
            for name, value in results[0].values.items()
            if is_frechet(name) and value.floor and value.floor_images == value.num_images
        ),
        None,
    )
    rows = [(i, r.subject.name, r.values[name]) for i, r in enumerate(results) if name in r.values]
    if name is None or any(value.interval for _, _, value in rows):
        return ""
    ratios = {row: value.value / value.floor for _, row, value in rows if value.floor}
    longest = max([*ratios.values(), 1.0])
    bars = []
    for index, row, value in rows:
        ratio = ratios.get(row)
        if ratio is not None:
            bars.append(
                f'<div class="bar-name">{escape(row).replace("_", "_<wbr>")}</div><div class="bar">'
                f'<div class="fill s{index % 8}" style="width:{100 * ratio / longest:.2f}%"></div>'
                f'<div class="mark" style="left:{100 / longest:.2f}%"></div></div>'
                f'<div class="bar-value">{short(ratio)}×<small>{short(value.value)}</small></div>'
            )
    first = rows[0][2]
    return (
        '<section><h2>How far from real?</h2><p class="quiet">'
        f"FID of {first.num_images:,} images over its noise floor. The line is the floor: as many "
        f"real images that no model has seen score {short(first.floor or 0.0)} against the same "
        f'reference.</p><div class="bars">{"".join(bars)}</div></section>'
    )


def curves(results: Sequence[Result]) -> str:
    """Every model's training loss over steps; nothing where there was no training to speak of."""
    histories = {r.subject.name: r.provenance.get("history") or [] for r in results}
    points = {
        name: [(float(step), float(loss)) for step, loss in history]
        for name, history in histories.items()
    }
    drawn = drawn_curves(points)
    missing = [name for name, curve in points.items() if len(curve) < 2]
    absent = f"Not recorded: {escape(', '.join(missing))}." if missing else ""
    if not drawn:
        return f'<section><h2>Training loss</h2><p class="quiet">{absent}</p></section>'
    return (
        '<section><h2>Training loss</h2><p class="quiet">Each model\'s own loss, averaged over '
        "stretches of steps. It shows whether a training has settled; across models the numbers "
        "are not comparable: pixels and latents are different targets, and a learned variance adds "
        f'a term. {absent}</p><div class="chart">{drawn}</div></section>'
    )


def memory(results: Sequence[Result], pairs: Mapping[str, bytes]) -> str:
    """Distances to the nearest training image beside held-out images', and the closest pairs."""
    name = "nearest_training_image"
    measured = [(r.subject.name, r.values[name]) for r in results if name in r.values]
    if not measured and not pairs:
        return ""
    shown = "".join(
        _figure(data, row, f"closest pairs of generated and training image: {row}")
        for row, data in pairs.items()
    )
    closest = (
        "<h3>The closest pairs</h3><p class='quiet'>Of each model, closest first: at the left a "
        "generated image, at the right the training image nearest to it. A copy would look the "
        f"same.</p><div class='grids pairs'>{shown}</div>"
        if pairs
        else ""
    )
    return (
        f"<section><h2>Memory or invention?</h2>{_distances(measured) if measured else ''}{closest}"
        "</section>"
    )


def _distances(measured: Sequence[tuple[str, Value]]) -> str:
    detail = measured[0][1].detail
    percentiles = [key for key in detail if re.fullmatch(r"p\d+", key)]
    test = {k.removeprefix("test_"): v for k, v in detail.items() if k.startswith("test_")}
    lines = [(row, value.detail, value.num_images) for row, value in measured]
    expected = ""
    if test:
        lines.append(("held-out real images", test, 0))
        expected = " A model that copied its training set would lie far below the last line."
    heads = "".join(f'<th scope="col" class="number">{_ordinal(key)}</th>' for key in percentiles)
    body = "".join(
        f'<tr><th scope="row">{escape(row).replace("_", "_<wbr>")}</th>'
        + "".join(f'<td class="number">{_maybe(found.get(key))}</td>' for key in percentiles)
        + f'<td class="number">{_closer(found, count)}</td></tr>'
        for row, found, count in lines
    )
    return (
        f'<p class="quiet">{escape(measured[0][1].definition)}{expected}</p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Nearest training images">'
        f'<table class="narrow"><thead><tr><th scope="col">distance at percentile</th>{heads}'
        '<th scope="col" class="number">closer than any held-out image</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _closer(detail: Mapping[str, float], count: int) -> str:
    closer = detail.get("closer_than_any_test")
    return NONE if closer is None else f"{closer:,.0f} of {count:,}"


def _ordinal(key: str) -> str:
    number = int(key[1:])
    return {50: "median", 1: "1st"}.get(number, f"{number}th")


def _maybe(number: float | None) -> str:
    return NONE if number is None else short(number)
