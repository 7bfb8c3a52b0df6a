from __future__ import annotations

from itertools import pairwise

import pytest

from eval.report.axis import axis_of, lines_of, ticks
from eval.result.record import Value


def value(number, half, **more):
    return Value(
        number, "", False, num_images=1000, interval=[number - half, number + half], **more
    )


def test_an_axis_holds_every_interval_and_the_lines_that_leave_them_readable():
    near = [value(5.0, 0.5, floor=4.0, floor_images=1000), value(6.0, 0.2)]
    lines = lines_of("fid_small_1000", near)
    axis = axis_of(near, lines)
    assert axis.holds(4.5) and axis.holds(6.2) and axis.holds(4.0) and not axis.holds(3.5)
    assert axis.percent(axis.low) == 0 and axis.percent(axis.high) == 100
    far = [value(80.0, 0.5, chance=14.0)]
    (line,) = lines_of("clip_score_x", far)
    assert line.comparable and not axis_of(far, [line]).holds(14.0)
    assert axis_of([value(3.0, 0.0)], []).holds(3.0)


def test_a_floor_of_another_count_is_told_and_not_drawn():
    values = [value(5.0, 0.5, floor=9.0, floor_images=360)]
    (line,) = lines_of("fid_small_1000", values)
    assert not line.comparable and not axis_of(values, [line]).holds(9.0)
    assert (
        line.said == "noise floor of 360 real images: 9.00; not drawn, for the values are of 1,000"
    )
    (line,) = lines_of("kid_small", values)  # unbiased: its count does not matter
    assert line.comparable


def test_a_line_that_rows_share_stands_once():
    values = [value(number, 0.5, ceiling=90.0, chance=10.0) for number in (80.0, 81.0)]
    assert [line.kind for line in lines_of("clip_score_x", values)] == ["ceiling", "chance"]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (79.61, 80.23), (-0.09, 0.05), (3.0, 9e4)])
def test_ticks_are_round_and_few(low, high):
    found = ticks(low, high, 4)
    assert 2 <= len(found) <= 5
    assert all(low <= tick <= high for tick in found)
    steps = {f"{after - before:.0e}"[0] for before, after in pairwise(found)}
    assert len(steps) == 1 and steps <= {"1", "2", "5"}
