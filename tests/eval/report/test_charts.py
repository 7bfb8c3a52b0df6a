from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib
import pytest

from eval.report.drawing.charts import axis_of, bars, forest, lines_of
from eval.report.drawing.curves import curves, ends, key
from eval.result.record import Value


def value(number, half, **more):
    return Value(
        number, "", False, num_images=1000, interval=[number - half, number + half], **more
    )


def drawn(svg):
    """An inline chart, parsed, and its marks: class to the numbers of its paths and uses."""
    root = ElementTree.fromstring(svg)
    marks = {}
    for group in root.iter("g"):
        for part in group.iter() if "class" in group.attrib else ():
            place = part.get("d") or f"{part.get('x')} {part.get('y')}"
            if part.tag in ("path", "use") and "id" not in part.attrib:
                numbers = [float(number) for number in re.findall(r"[\d.]+", place)]
                marks.setdefault(group.get("class"), []).append(numbers)
    return root, marks


def scale(root):
    """The numbers below a chart and where they stand: number to x."""
    texts = [text for text in root.iter("text") if re.fullmatch(r"[-\d.,−]+", text.text)]
    lowest = max(float(text.get("y")) for text in texts)
    below = [text for text in texts if float(text.get("y")) > lowest - 1]
    return {float(text.text.replace(",", "")): float(text.get("x")) for text in below}


def test_an_axis_holds_every_interval_and_the_lines_that_leave_them_readable():
    near = [value(5.0, 0.5, floor=4.0, floor_images=1000), value(6.0, 0.2)]
    lines = lines_of(near)
    axis = axis_of(near, lines)
    assert axis.holds(lines[0]) and axis.low < 4.0 and axis.high > 6.2
    assert axis.low > 3.5
    far = [value(80.0, 0.5, chance=14.0)]
    (line,) = lines_of(far)
    axis = axis_of(far, [line])
    assert line.comparable and not axis.holds(line)
    assert axis.legend(line) == "chance: 14.0, to the left of this axis"
    assert axis_of([value(3.0, 0.0)], []).low < 3.0 < axis_of([value(3.0, 0.0)], []).high


def test_a_floor_of_another_count_is_in_the_legend_and_not_drawn():
    values = [value(5.0, 0.5, floor=9.0, floor_images=360, distance=True)]
    (line,) = lines_of(values)
    axis = axis_of(values, [line])
    assert not line.comparable and axis.high < 9.0
    text = "noise floor of 360 real images: 9.00; not drawn, because the values are of 1,000"
    assert line.text == axis.legend(line) == text
    unbiased = {"distance": True, "unbiased": True}
    (line,) = lines_of([value(5.0, 0.5, floor=9.0, floor_images=360, **unbiased)])
    assert line.comparable  # its count does not matter
    assert line.text == "noise floor of 360 real images: 9.00"
    (line,) = lines_of([value(0.8, 0.1, floor=0.9, floor_images=1000)])
    assert line.text == "held out of 1,000 real images: 0.900"  # no distance has no noise floor


def test_a_line_that_rows_share_is_drawn_once():
    values = [value(number, 0.5, ceiling=90.0, chance=10.0) for number in (80.0, 81.0)]
    assert [line.kind for line in lines_of(values)] == ["ceiling", "chance"]


def test_marks_are_drawn_at_their_numbers():
    values = [value(5.0, 0.5, floor=4.0, trainings=[4.75, 5.25]), value(6.0, 0.25)]
    lines = lines_of(values)
    svg = forest("KID", {"a": values[0], "b": None, "c": values[1]}, lines, axis_of(values, lines))
    root, marks = drawn(svg)
    (low, at_low), *_, (high, at_high) = scale(root).items()

    def x(number):
        return pytest.approx(at_low + (number - low) * (at_high - at_low) / (high - low), abs=0.01)

    assert [mark[0] for mark in marks["point"]] == [x(5.0), x(6.0)]
    assert [mark[::2] for mark in marks["span"]] == [[x(4.5), x(5.5)], [x(5.75), x(6.25)]]
    assert [mark[0] for mark in marks["training"]] == [x(4.75), x(5.25)]
    assert [mark[0] for mark in marks["floor"]] == [x(4.0)] * 3  # through every row
    assert marks["point"][0][1] == marks["span"][0][1] < marks["point"][1][1]
    assert root.get("role") == "img"
    assert root.get("aria-label") == (
        "KID, with 95 % intervals: a 5.00 (4.50 to 5.50); b –; c 6.00 (5.75 to 6.25)"
    )


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (79.61, 80.23), (-0.09, 0.05), (3.0, 9e4)])
def test_numbers_below_a_chart_are_round_and_few(low, high):
    middle = (low + high) / 2
    one = value(middle, high - middle)
    root, _ = drawn(forest("t", {"a": one}, [], axis_of([one], [])))
    numbers = list(scale(root))
    assert 2 <= len(numbers) <= 6
    steps = {f"{after - before:.1e}"[:3] for before, after in pairwise(numbers)}
    assert len(steps) == 1 and steps <= {"1.0", "2.0", "2.5", "5.0"}


def test_a_bar_is_as_long_as_its_ratio():
    svg = bars("FID", {"a": value(9.0, 1.0, floor=3.0), "b": None, "c": value(1.5, 1.0, floor=3.0)})
    label = ElementTree.fromstring(svg).get("aria-label")
    assert label == "FID, times its noise floor: a 3.00× (9.00); b –; c 0.500× (1.50)"
    bar = r'd="M ([\d.]+) [\d.]+ L ([\d.]+) [^"]*" style="fill: var\(--(series-\d|line)\)"'
    lengths = {paint: float(to) - float(at) for at, to, paint in re.findall(bar, svg)}
    assert lengths["series-0"] == pytest.approx(lengths["line"])
    assert lengths["series-2"] == pytest.approx(lengths["line"] / 6, abs=1e-4)


def test_a_curve_needs_two_points_and_its_steps_lie_on_the_axis():
    assert curves({"ddpm": [], "other": [(1, 2.0)]}) == ""
    histories = {"none": [], "<b>": [(0.0, 1.0), (100.0, 0.01)]}
    svg = curves(histories)
    assert "&lt;b&gt;" in svg and "<b>" not in svg
    assert ends(histories) == {"<b>": "0.01 at the end"}
    root, marks = drawn(svg)
    ((left, top, right, bottom),) = marks["curve"]
    assert "--series-1" in svg and "--series-0" not in svg  # the place among all names
    steps = scale(root)
    assert (left, right) == (steps[0.0], steps[100.0])
    height = 310  # from 10 below the upper edge
    assert top - 10 == pytest.approx(height - bottom)


def test_curves_that_lie_on_one_another_are_told_apart():
    """Along one and the same line every curve has ink that no later one covers."""
    curve = [(float(step), 1.0 / step) for step in range(1, 200)]
    svg = curves(dict.fromkeys("abcde", curve))
    strokes = re.findall(r'<g class="curve">\s*<path[^>]*style="([^"]*)"', svg)
    assert len(strokes) == 5
    inks = []
    for style in strokes:
        dashes = re.search(r"stroke-dasharray: ([\d., ]+)", style)
        offset = re.search(r"stroke-dashoffset: ([\d.]+)", style)
        lengths = [float(n) for n in dashes[1].replace(",", " ").split()] if dashes else []
        inks.append(ink(lengths, float(offset[1]) if offset else 0.0))
    for index, own in enumerate(inks):
        assert own - set().union(*inks[index + 1 :]), index
    assert len({str(key(row)) for row in range(9)}) == 9


def ink(lengths, offset, period=24.0, parts=240):
    """The hundred-and-somethings of a pattern that a stroke inks."""
    inked = set()
    for part in range(parts):
        at = (part + 0.5) * period / parts + offset
        at %= sum(lengths) or 1.0
        for index, length in enumerate(lengths or [1.0]):
            if at < length:
                inked |= {part} if index % 2 == 0 else set()
                break
            at -= length
    return inked


@pytest.mark.parametrize("high", [1.0, 1.04, 3.0, 900.0, 2e5])
def test_axes_hold_their_curves_and_numbers(high):
    curve = [(float(step), 1.0 + (high - 1.0) * (1 - step / 2000)) for step in range(0, 2001, 5)]
    root, marks = drawn(curves({"a": curve}))
    (line,) = marks["curve"]
    width, height = (float(n) for n in root.get("viewBox").split()[2:])
    assert min(line[::2]) >= 46 and max(line[::2]) <= width - 10 + 1e-3
    assert min(line[1::2]) >= 10 and max(line[1::2]) <= height - 44
    texts = {text.text: text for text in root.iter("text")}
    assert "text-anchor: end" in texts["2,000"].get("style")  # within the card
    numbers = [text for text in texts if re.fullmatch(r"[\d.e+]+", text) and text != "500"]
    assert len(numbers) >= 2, texts.keys()


def test_a_flat_curve_is_drawn():
    root, marks = drawn(curves({"a": [(1.0, 0.3), (2.0, 0.3)]}))
    ((_, first, _, last),) = marks["curve"]
    assert first == last
    assert len(list(root.iter("text"))) > 4


def test_a_chart_takes_all_its_colours_from_the_page_and_loads_nothing():
    one = value(5.0, 0.5, floor=4.0, ceiling=6.0, chance=5.5, trainings=[5.0])
    lines = lines_of([one])
    rows = {f"{i} <i id='x' style='color: #fe0001'>$x^2$ --": one for i in range(9)}
    charts = [
        forest("<b>\"'&", rows, lines, axis_of([one], lines)),
        bars("<b>\"'&", rows),
        curves({name: [(1.0, 1.0), (2.0, 2.0)] for name in rows}),
    ]
    for svg in charts:
        root = ElementTree.fromstring(svg)
        styles = " ".join(part.get("style", "") for part in root.iter())
        assert set(re.findall(r"(?:fill|stroke): ([^;]*?)(?:;|$| )", styles)) <= {
            "none",
            *colours(),
        }
        assert "#" not in styles
        assert not re.search(r"https?:|url\(|clip-path|<style|<!|<\?|font-family", svg)
        assert not {"i", "b"} & {part.tag for part in root.iter()}
    texts = [text.text for text in ElementTree.fromstring(charts[0]).iter("text")]
    assert sum(text.startswith("0 <i") and text.endswith("^2$ --") for text in texts) == 1


def colours():
    names = ["ink", "quiet", "line", "card", "floor", "ceiling", "chance"]
    return {f"var(--{name})" for name in names + [f"series-{i}" for i in range(8)]}


def test_a_chart_is_the_same_whatever_the_users_style():
    histories = {"a": [(1.0, 1.0), (2.0, 2.0)]}
    svg = curves(histories)
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red"}):
        assert curves(histories) == svg
    assert matplotlib.rcParams["svg.fonttype"] == matplotlib.rcParamsDefault["svg.fonttype"]
