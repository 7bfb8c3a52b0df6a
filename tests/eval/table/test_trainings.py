from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from eval.result.record import Result
from eval.table.table import compare
from eval.table.trainings import combined, training_mismatches
from eval.table.verdict import METHOD, WEIGHTS, verdicts

FID = "fid_small_1000"


def training(
    make_result: Callable[..., Result], name: str, seed: int, fid: float, latent: bool = False
) -> Result:
    """One of a method's trainings, its FID measured in ten blocks."""
    loss = [[10, 1.0 + seed], [20, 0.5]]
    result = make_result(f"{name}, seed {seed}", latent=latent, history=loss, model="DDPM")
    noise = np.random.default_rng(seed).normal(0, 0.1, 10)
    value = replace(result.values[FID], value=fid, blocks=(fid + noise).tolist(), corrected=fid - 1)
    first = result.subject.first_stage
    return replace(
        result,
        values={**result.values, FID: value},
        budget=replace(result.budget, seed=seed),
        subject=replace(
            result.subject,
            weights_sha256=f"{seed}" * 64,
            training_seconds=100.0 + seed,
            first_stage=first and replace(first, sha256=f"{seed + 5}" * 64),
        ),
    )


def method(
    make_result: Callable[..., Result], name: str, numbers: list[float], latent: bool = False
) -> Result:
    found = [training(make_result, name, seed, fid, latent) for seed, fid in enumerate(numbers)]
    return combined(found, name)


def test_a_row_is_the_mean_over_trainings_with_students_interval(
    make_result: Callable[..., Result],
) -> None:
    numbers = [2.0, 2.4, 2.3]
    row = method(make_result, "ddpm", numbers)
    found = row.values[FID]
    assert found.value == pytest.approx(np.mean(numbers))
    assert found.interval == pytest.approx(
        stats.t.interval(0.95, 2, np.mean(numbers), stats.sem(numbers))
    )
    assert found.standard_error == pytest.approx(stats.sem(numbers))
    assert found.trainings == numbers
    assert found.corrected == pytest.approx(np.mean(numbers) - 1)
    assert "mean over 3 trainings of the method (seeds 0, 1, 2)" in found.definition
    assert row.subject.name == "ddpm" and row.budget.seed == [0, 1, 2]
    assert row.subject.training_seconds == 101.0
    assert row.subject.weights_sha256 == ", ".join(str(seed) * 64 for seed in range(3))
    assert row.provenance["history"] == [[10, 2.0], [20, 0.5]]
    assert row.provenance["model"] == "DDPM"
    assert [one["seed"] for one in row.provenance["trainings"]] == [0, 1, 2]
    assert row.values["images_per_second"].interval is None  # the machine's, not the method's
    assert Result.from_json(row.to_json()) == row


def test_one_training_is_the_row_itself(make_result: Callable[..., Result]) -> None:
    one = training(make_result, "ddpm", 4, 2.0)
    row = combined([one], "ddpm")
    assert row == replace(one, subject=replace(one.subject, name="ddpm"))


def test_methods_are_judged_over_trainings_and_else_weights_are(
    make_result: Callable[..., Result],
) -> None:
    near, far = method(make_result, "a", [2.0, 2.4, 2.3]), method(make_result, "b", [3.0, 3.3, 3.5])
    (found,) = (v for v in verdicts([near, far]) if v.metric == FID)
    want = stats.ttest_ind([2.0, 2.4, 2.3], [3.0, 3.3, 3.5], equal_var=False)
    assert (found.of, found.trainings, found.outcome) == (METHOD, 3, "better")
    assert found.difference.p == pytest.approx(want.pvalue)
    assert not any(v.metric == "images_per_second" for v in verdicts([near, far]))

    once = combined([training(make_result, "c", 0, 3.0)], "c")
    mixed = {v.of for v in verdicts([near, far, once])}
    assert mixed == {WEIGHTS}
    with pytest.raises(ValueError, match=r"budget.seed is 0 for c but \[0, 1, 2\] for a"):
        compare([near, once])


def test_other_seeds_or_numbers_of_trainings_are_refused(
    make_result: Callable[..., Result],
) -> None:
    rows = [method(make_result, "a", [2.0, 2.4, 2.3]), method(make_result, "b", [3.0, 3.3])]
    with pytest.raises(ValueError, match=r"budget.seed is \[0, 1\] for b but \[0, 1, 2\] for a"):
        compare(rows)


def test_trainings_that_differ_in_more_than_the_seed_are_named(
    make_result: Callable[..., Result],
) -> None:
    one, other = (training(make_result, "a", seed, 2.0) for seed in (0, 1))
    assert training_mismatches([one, other], "a") == []
    slower = replace(other, budget=replace(other.budget, learning_rate=0.5))
    (found,) = training_mismatches([one, slower], "a")
    assert str(found) == "budget.learning_rate is 0.5 for a, seed 1 but 0.001 for a, seed 0"
    assert found.row == "a"
    row = combined([one, slower], "a")
    with pytest.raises(ValueError, match="budget.learning_rate is 0.5 for a, seed 1"):
        compare([row], within=[found])
    assert compare([row], force=True, within=[found]).mismatches == [found]

    wider = replace(other, subject=replace(other.subject, parameters=7))
    with pytest.raises(ValueError, match="the trainings of a are not of one method: parameters is"):
        combined([one, wider], "a")


def test_a_shared_autoencoder_is_warned_about(make_result: Callable[..., Result]) -> None:
    own = [method(make_result, name, [2.0, 2.1], latent=True) for name in ("a", "b")]
    assert own[0].subject.first_stage is not None
    assert own[0].subject.first_stage.sha256 == f"{'5' * 64}, {'6' * 64}"
    assert compare(own).warnings == []
    stage = replace(own[0].subject.first_stage, sha256="5" * 64)
    shared = [replace(row, subject=replace(row.subject, first_stage=stage)) for row in own]
    (warning,) = compare(shared).warnings
    assert warning.startswith("the trainings of a, b share an autoencoder")
    assert any("different autoencoders" in one for one in compare([own[0], shared[1]]).warnings)
