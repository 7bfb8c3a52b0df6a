from __future__ import annotations

from dataclasses import replace

from eval.table.ranking import BEST, LEVEL, ranks
from eval.table.table import compare

NAME = "fid_small_1000"


def sure(result, centre, turn, higher=False):
    """The result with blocks that waver in another order for another turn."""
    blocks = [centre + 0.01 * ((turn * k) % 10 - 4.5) for k in range(10)]
    value = replace(result.values[NAME], value=centre, blocks=blocks, higher_is_better=higher)
    return replace(result, values={**result.values, NAME: value})


def column(table, key=NAME):
    return ranks(table, [column.key for column in table.columns].index(key))


def test_level_is_not_distinguishable_from_the_best(make_result):
    results = [make_result(name) for name in "abc"]
    rows = list(map(sure, results, (2.001, 2.0, 3.0), (1, 3, 7)))
    level, best, worse = column(compare(rows))
    assert [level.place, best.place, worse.place] == [LEVEL, BEST, ""]
    assert level.note.startswith("these weights: not distinguishable from b (p = ")
    assert best.note == "best"
    assert worse.note == "these weights: worse than b by 1 (p < 0.001)"
    upward = [sure(r, c, t, True) for r, c, t in zip(results, (2, 2, 3), (1, 3, 7), strict=True)]
    assert [found.place for found in column(compare(upward))] == ["", "", BEST]


def test_where_nothing_was_tested_nothing_is_best(make_result):
    places = column(compare([make_result("a", 4.0), make_result("b", 5.0)]))
    assert [(found.place, found.note) for found in places] == [("", ""), ("", "")]


def test_where_nothing_is_distinguishable_nothing_is_best(make_result):
    results = [make_result(name) for name in "abc"]
    rows = list(map(sure, results, (2.001, 2.0, 2.002), (1, 3, 7)))
    first, leader, third = column(compare(rows))
    assert {first.place, leader.place, third.place} == {""}
    assert "not distinguishable from b" in first.note and "not distinguishable" in third.note
    assert leader.note == ""


def test_nothing_is_best_without_a_choice_or_a_direction_or_in_forced_rows(make_result):
    results = [make_result("a", 4.0), make_result("b", 5.0)]
    places = column(compare(results), "nearest_training_image")
    assert [found.place for found in places] == ["", ""]
    assert [found.place for found in column(compare([make_result("a"), make_result("b")]))] == [
        "", "",
    ]  # fmt: skip
    other = replace(results[1], budget=replace(results[1].budget, seed=7))
    assert [f.place for f in column(compare([results[0], other], force=True))] == ["", ""]
