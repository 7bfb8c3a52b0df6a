from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from eval.study.sweep_picture import Point, _draw, _panels, picture


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
