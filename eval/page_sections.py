"""The page's sections that show rather than list: samples, verdicts, bars, curves, memory."""

from __future__ import annotations

import base64
from html import escape

from eval.column import NONE, short
from eval.compare import Table
from eval.picture import curves_svg
from eval.result import Result, Value
from eval.verdict import VERDICT_NOTE, sentences


def samples(grids: dict[str, bytes], results: list[Result]) -> str:
    """Every model's grid of the same seeds and labels."""
    if not grids:
        return ""
    figures = []
    for name, data in grids.items():
        source = "data:image/png;base64," + base64.b64encode(data).decode()
        alternative = escape(f"sample grid: {name}")
        figures.append(
            f'<figure><img src="{source}" alt="{alternative}"><figcaption>{escape(name)}'
            "</figcaption></figure>"
        )
    labels = results[0].protocol.labels
    return (
        '<section><h2>Samples</h2><p class="quiet">Not selected. The image at one place of each '
        "model's grid was generated from the same seed and for the same label "
        f'({escape(labels)}).</p><div class="grids">{"".join(figures)}</div></section>'
    )


def floor(results: list[Result]) -> str:
    """Bars: FID as a multiple of the noise floor, for the first FID that has one at its count."""
    name = next(
        (
            name
            for name, value in results[0].values.items()
            if name.startswith("fid") and value.floor and value.floor_images == value.num_images
        ),
        None,
    )
    values = {r.subject.name: r.values[name] for r in results if name in r.values} if name else {}
    if not values:
        return ""
    ratios = {row: value.value / value.floor for row, value in values.items() if value.floor}
    longest = max([*ratios.values(), 1.0])
    bars = []
    for index, (row, ratio) in enumerate(ratios.items()):
        width = f"{100 * ratio / longest:.2f}%"
        bars.append(
            f'<div class="bar-name">{escape(row)}</div><div class="bar">'
            f'<div class="fill s{index % 8}" style="width:{width}"></div>'
            f'<div class="floor" style="left:{100 / longest:.2f}%"></div></div>'
            f'<div class="bar-value">{short(ratio)}×<small>{short(values[row].value)}</small></div>'
        )
    first = next(iter(values.values()))
    return (
        "<section><h2>How far from real?</h2>"
        f'<p class="quiet">FID of {first.num_images} images over its noise floor. The line is the '
        f"floor: as many real images that no model has seen score {short(first.floor or 0.0)} "
        "against the same reference.</p>"
        f'<div class="bars">{"".join(bars)}</div></section>'
    )


def verdicts(table: Table) -> str:
    """Which differences are more than chance, metric by metric."""
    if not table.verdicts:
        return ""
    titles = {column.key: column.title for column in table.columns}
    cards = []
    for metric, said in sentences(table.verdicts).items():
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in said)
        title = titles.get(metric, metric)
        cards.append(f'<div class="card"><h3>{escape(title)}</h3><ul>{items}</ul></div>')
    return (
        '<section id="verdicts"><h2>Which differences are more than chance?</h2>'
        f'<p class="quiet">{escape(VERDICT_NOTE)}</p><div class="cards">{"".join(cards)}</div>'
        "</section>"
    )


def curves(results: list[Result]) -> str:
    """Every model's training loss over steps."""
    histories = {r.subject.name: r.provenance.get("history") or [] for r in results}
    points = {
        name: [(float(step), float(loss)) for step, loss in history]
        for name, history in histories.items()
    }
    drawn = curves_svg(points)
    missing = [name for name, curve in points.items() if len(curve) < 2]
    absent = f"Not recorded: {escape(', '.join(missing))}." if missing else ""
    return (
        f'<section><h2>Training loss</h2><div class="chart">{drawn}</div><p class="quiet">Each '
        "model's own loss, averaged over stretches of steps. It shows whether a training has "
        "settled; across models the numbers are not comparable: pixels and latents are different "
        f"targets, and a learned variance adds a term. {absent}</p></section>"
    )


def memory(results: list[Result]) -> str:
    """Distances to the nearest training image, beside those of held-out images."""
    name = "nearest_training_image"
    measured: list[tuple[str, Value]] = [
        (r.subject.name, r.values[name]) for r in results if name in r.values
    ]
    if not measured:
        return ""
    percentiles = [key for key in measured[0][1].detail if key.startswith("p")]
    detail = measured[0][1].detail
    test = {k.removeprefix("test_"): v for k, v in detail.items() if k.startswith("test_")}
    lines = [(row, value.detail) for row, value in measured] + [("held-out real images", test)]
    heads = "".join(f'<th scope="col" class="number">{_ordinal(key)}</th>' for key in percentiles)
    body = "".join(
        f'<tr><th scope="row">{escape(row)}</th>'
        + "".join(f'<td class="number">{_maybe(detail.get(key))}</td>' for key in percentiles)
        + f'<td class="number">{_maybe(detail.get("closer_than_any_test"))}</td></tr>'
        for row, detail in lines
    )
    return (
        '<section><h2>Memory or invention?</h2><p class="quiet">'
        f"{escape(measured[0][1].definition)} A model that copied its training set would lie far "
        "below the last line.</p><div class='scroll'><table><thead><tr><th scope='col'>distance "
        f"at percentile</th>{heads}<th scope='col' class='number'>closer than any held-out image"
        f"</th></tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _ordinal(key: str) -> str:
    number = int(key[1:])
    return {50: "median", 1: "1st"}.get(number, f"{number}th")


def _maybe(number: float | None) -> str:
    return NONE if number is None else short(number)
