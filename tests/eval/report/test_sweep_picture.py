from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from eval.report.drawing.sweep_picture import Point, _draw, _panels, picture
from eval.result.record import Value


@pytest.fixture
def cells(make_result):
    found = []
    for steps, fid, evaluations in ((5, 9.0, 5.0), (10, 6.0, 10.0), (20, 5.0, 20.0)):
        result = make_result("ddpm", fid)
        value = replace(result.values["fid_small_1000"], interval=[fid - 4.0, fid + 1.0])
        subject = replace(result.subject, network_evaluations=evaluations)
        values = {**result.values, "fid_small_1000": replace(value, value=fid)}
        result = replace(result, values=values, subject=subject)
        found.append(Point({"sampler.num_steps": str(steps)}, result))
    return found


def drawn(cells):
    axes = Figure().add_subplot()
    x, y = _panels(cells)[0]
    _draw(axes, cells, x, y, "sampler.num_steps")
    return axes


def test_every_point_has_its_step_count_and_its_interval(cells):
    axes = drawn(cells)
    line, *bars = axes.lines
    assert line.get_xydata().tolist() == [[5, 9], [10, 6], [20, 5]]
    assert [(text.get_text(), text.xy) for text in axes.texts] == [
        ("5", (5, 9)), ("10", (10, 6)), ("20", (20, 5)),
    ]  # fmt: skip
    assert [bar.get_xydata().tolist() for bar in bars] == [
        [[5, 5], [5, 10]], [[10, 2], [10, 7]], [[20, 1], [20, 6]],
    ]  # fmt: skip


def test_a_point_without_the_value_is_left_out(cells):
    result = cells[1].result
    values = {k: v for k, v in result.values.items() if k != "fid_small_1000"}
    cells[1] = replace(cells[1], result=replace(result, values=values))
    assert [(text.get_text(), text.xy) for text in drawn(cells).texts] == [
        ("5", (5, 9)), ("20", (20, 5)),
    ]  # fmt: skip
    assert picture(cells)[:4] == b"\x89PNG"


def panels(cells, **further):
    """Titles of the panels of points whose results have further values."""
    points = []
    for cell in cells:
        values = {**cell.result.values, **further}
        points.append(replace(cell, result=replace(cell.result, values=values)))
    assert picture(points)[:4] == b"\x89PNG"
    return [(x.title, y.title) for x, y in _panels(points)]


def test_a_users_metric_with_a_direction_has_a_panel_over_network_evaluations(cells):
    value = Value(0.5, "How sure.", True, "own", title="confidence")
    assert ("network evaluations", "confidence") in panels(cells, confidence=value)[2:]
    assert (
        len(panels(cells, **{f"own_{i}": replace(value, title=f"own {i}") for i in range(9)})) == 5
    )
    without = panels(cells, confidence=replace(value, higher_is_better=None))
    assert "confidence" not in {title for pair in without for title in pair}


def test_a_panel_is_chosen_by_what_a_value_is_and_not_by_its_name(cells):
    for index, cell in enumerate(cells):
        values = {f"own_{name}": value for name, value in cell.result.values.items()}
        cells[index] = replace(cell, result=replace(cell.result, values=values))
    (cost, quality), *_ = _panels(cells)
    assert cost.title == "network evaluations"
    assert quality.title == cells[0].result.values["own_fid_small_1000"].title
    assert quality.logarithmic and not quality.higher_is_better


def test_points_of_equal_cost_are_drawn_over_the_setting(cells):
    points = []
    for length, cell in zip(("0.05", "0.1", "0.2"), cells, strict=True):
        subject = replace(cell.result.subject, network_evaluations=5.0)
        points.append(Point({"ema": length}, replace(cell.result, subject=subject)))
    panels = _panels(points)
    titles = [x.title for x, _ in panels]
    assert titles[0] == "ema"
    assert not {"network evaluations", "seconds per image"} & set(titles)
    axes = Figure().add_subplot()
    _draw(axes, points, *panels[0], "ema")
    assert axes.lines[0].get_xydata().tolist() == [[0.05, 9], [0.1, 6], [0.2, 5]]
    assert axes.get_xlabel() == "ema"
    assert axes.collections[0].get_offsets().tolist() == [[0.2, 5]]  # the best alone
    assert picture(points)[:4] == b"\x89PNG"
