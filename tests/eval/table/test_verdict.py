from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from eval.result.record import Result
from eval.result.uncertainty import Difference
from eval.table.verdict import METHOD, WEIGHTS, Verdict, note, sentences, verdicts

NAME = "fid_small_1000"


def row(make_result: Callable[..., Result], name: str, blocks: list[float]) -> Result:
    result = make_result(name)
    value = replace(result.values[NAME], value=float(np.mean(blocks)), blocks=blocks)
    return replace(result, values={NAME: value})


def noisy(centre: float, seed: int) -> list[float]:
    shared = np.random.default_rng(9).normal(0, 0.5, 10)  # what the seeds do to every model
    return (centre + shared + np.random.default_rng(seed).normal(0, 0.05, 10)).tolist()


def test_pairs_are_judged_by_paired_blocks(make_result: Callable[..., Result]) -> None:
    rows = [
        row(make_result, name, noisy(centre, seed))
        for seed, (name, centre) in enumerate({"a": 2.0, "b": 2.0, "c": 1.8}.items())
    ]
    found = {(v.first, v.second): v for v in verdicts(rows)}
    assert found["a", "b"].outcome == "not distinguishable"
    assert (
        found["a", "c"].outcome == found["b", "c"].outcome == "worse"
    )  # though the blocks overlap
    assert found["a", "c"].difference.adjusted > found["a", "c"].difference.p
    words = sentences(list(found.values()))[NAME]
    assert words[0].startswith("the weights of c are better than those of a by 0.")
    assert "p < 0.001" in words[0]
    assert words[-1].startswith("the weights of a and of b are not distinguishable (p = ")


@pytest.mark.parametrize("blocks", [[], [1.0, 2.0, 3.0]])
def test_what_was_not_measured_in_the_same_blocks_is_not_judged(
    make_result: Callable[..., Result], blocks: list[float]
) -> None:
    one, other = row(make_result, "a", noisy(1.0, 0)), row(make_result, "b", noisy(2.0, 1))
    value = replace(other.values[NAME], blocks=blocks)
    assert verdicts([one, replace(other, values={NAME: value})]) == []
    assert verdicts([one]) == []


def verdict(of: str, outcome: str, trainings: int = 1) -> Verdict:
    return Verdict(NAME, "a", "b", Difference(-0.5, 0.1, 0.01, 0.02), outcome, of, trainings)


def test_what_is_said_of_weights_is_never_worded_as_said_of_methods() -> None:
    for said in ("better", "worse", "not distinguishable"):
        weights, method = verdict(WEIGHTS, said), verdict(METHOD, said, 3)
        (of_weights,), (of_method,) = (sentences([v])[NAME] for v in (weights, method))
        assert "weights" in of_weights and "method" not in of_weights
        assert "method" in of_method and "weights" not in of_method
        assert "3 trainings each" in of_method
    assert sentences([verdict(METHOD, "worse", 3)])[NAME] == [
        "as a method, b is better than a by 0.5 (p = 0.02, 3 trainings each)"
    ]


def test_the_note_says_what_verdicts_are_about() -> None:
    assert note([]) == ""
    assert note([verdict(WEIGHTS, "better")]).startswith(
        "About these weights, not about the method"
    )
    of_method = note([verdict(METHOD, "better", 3)])
    assert of_method.startswith("About the methods: each was trained 3 times")
    assert "these weights" not in of_method and "advisable" not in of_method
    assert "At least three trainings are advisable" in note([verdict(METHOD, "better", 2)])
    both = note([verdict(WEIGHTS, "better"), verdict(METHOD, "better", 3)])
    assert "these weights" in both and "the methods: each" in both


def test_directionless_values_are_not_judged(make_result: Callable[..., Result]) -> None:
    rows = [row(make_result, name, noisy(centre, 0)) for name, centre in (("a", 1.0), ("b", 2.0))]
    plain = [
        replace(r, values={NAME: replace(r.values[NAME], higher_is_better=None)}) for r in rows
    ]
    assert verdicts(rows) and verdicts(plain) == []


def test_all_pairs_of_a_table_are_corrected_together(make_result: Callable[..., Result]) -> None:
    rows = [row(make_result, "a", noisy(2.0, 0)), row(make_result, "b", noisy(1.97, 1))]
    (alone,) = verdicts(rows)
    twice = [replace(r, values={**r.values, "fid_small_360": r.values[NAME]}) for r in rows]
    assert [v.difference.adjusted for v in verdicts(twice)] == pytest.approx(
        [2 * alone.difference.p] * 2
    )
