from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from eval.result import Result
from eval.verdict import sentences, verdicts

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
    assert found["a", "b"].said == "not distinguishable"
    assert found["a", "c"].said == found["b", "c"].said == "worse"  # though the blocks overlap
    assert found["a", "c"].difference.adjusted > found["a", "c"].difference.p
    words = sentences(list(found.values()))[NAME]
    assert words[0].startswith("c is better than a by 0.")
    assert "p < 0.001" in words[0]
    assert words[-1].startswith("a and b are not distinguishable (p = ")


@pytest.mark.parametrize("blocks", [[], [1.0, 2.0, 3.0]])
def test_what_was_not_measured_in_the_same_blocks_is_not_judged(
    make_result: Callable[..., Result], blocks: list[float]
) -> None:
    one, other = row(make_result, "a", noisy(1.0, 0)), row(make_result, "b", noisy(2.0, 1))
    value = replace(other.values[NAME], blocks=blocks)
    assert verdicts([one, replace(other, values={NAME: value})]) == []
    assert verdicts([one]) == []
