from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from eval.metric.frechet import frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from eval.result.uncertainty import (
    Difference,
    Estimate,
    block_bounds,
    difference_of_trainings,
    estimable,
    holm,
    jackknife,
    over_trainings,
    paired_difference,
    t_quantile,
)

DIMENSIONS, COUNT, BLOCKS = 8, 400, 10


def test_of_a_mean_it_is_the_textbook_interval() -> None:
    from scipy.stats import t

    values = np.random.default_rng(0).normal(3.0, 2.0, 10)
    without = [float(np.delete(values, r).mean()) for r in range(10)]
    found = jackknife(float(values.mean()), without)
    low, high = t.interval(0.95, 9, values.mean(), values.std(ddof=1) / 10**0.5)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.corrected == pytest.approx(values.mean())


def test_removes_the_bias_of_order_one_over_n() -> None:
    """The plain variance is biased by (N - 1) / N; the jackknife corrects that exactly."""
    values = np.random.default_rng(0).normal(size=12)
    without = [float(np.delete(values, r).var()) for r in range(12)]
    assert jackknife(float(values.var()), without).corrected == pytest.approx(values.var(ddof=1))


def frechet_estimate(rng: np.random.Generator, reference: FeatureStatistics) -> Estimate:
    made = torch.from_numpy(rng.normal(0.3, 1.2, (COUNT, DIMENSIONS)))
    bounds = block_bounds(COUNT, BLOCKS)
    without = [
        frechet_distance(FeatureStatistics(torch.cat([made[:a], made[b:]])), reference)
        for a, b in bounds
    ]
    return jackknife(frechet_distance(FeatureStatistics(made), reference), without)


def test_intervals_cover_the_truth_and_the_mean_of_blocks_would_not() -> None:
    reference = FeatureStatistics.from_moments(
        torch.zeros(DIMENSIONS), torch.eye(DIMENSIONS, dtype=torch.float64), 10**9
    )
    truth = DIMENSIONS * (0.3**2 + (1.2 - 1) ** 2)
    rng = np.random.default_rng(0)
    found = [frechet_estimate(rng, reference) for _ in range(100)]
    expected = float(np.mean([estimate.value for estimate in found]))
    plain = sum(e.low <= expected <= e.high for e in found)
    corrected = sum(e.around(e.corrected)[0] <= truth <= e.around(e.corrected)[1] for e in found)
    assert 88 <= plain <= 100 and 88 <= corrected <= 100
    assert expected > truth  # FID at a count is biased upward
    assert abs(np.mean([e.corrected for e in found]) - truth) < 0.2 * (expected - truth)


def test_different_models_are_distinguished_and_equal_models_rarely() -> None:
    rng = np.random.default_rng(1)

    def estimate(mean: float) -> Estimate:
        values = rng.normal(mean, 1.0, BLOCKS)
        return jackknife(values.mean(), [np.delete(values, r).mean() for r in range(BLOCKS)])

    def flagged(gap: float) -> float:
        pairs = [paired_difference(estimate(gap), estimate(0.0)) for _ in range(400)]
        return float(np.mean([pair.verdict(True) != "not distinguishable" for pair in pairs]))

    assert 0.01 <= flagged(0.0) <= 0.09
    assert flagged(3 * (2 / BLOCKS) ** 0.5) > 0.6


def test_verdicts_say_what_is_better() -> None:
    sure = Difference(-1.0, 0.1, 1e-6, 1e-6)
    assert sure.verdict(higher_is_better=False) == "better"
    assert sure.verdict(higher_is_better=True) == "worse"
    assert Difference(-1.0, 1.0, 0.03, 0.2).verdict(True) == "not distinguishable"
    same = jackknife(1.0, [1.0, 1.1, 0.9])
    assert paired_difference(same, same).verdict(True) == "not distinguishable"


def test_holm_equals_statsmodels_table() -> None:
    given = [Difference(1.0, 1.0, p, p) for p in (0.01, 0.02, 0.03, 0.5)]
    assert [d.adjusted for d in holm(given)] == pytest.approx([0.04, 0.06, 0.06, 0.5])


def test_methods_are_compared_over_trainings() -> None:
    from scipy.stats import ttest_ind

    first, second = [1.0, 1.3, 0.9], [2.0, 2.1, 2.0, 2.05]
    found = difference_of_trainings(first, second)
    want = ttest_ind(first, second, equal_var=False)
    assert found.value == pytest.approx(np.mean(first) - np.mean(second))
    assert found.p == pytest.approx(want.pvalue)
    assert found.value / found.standard_error == pytest.approx(want.statistic)
    assert found.verdict(higher_is_better=False) == "better"
    with pytest.raises(ValueError, match="at least two trainings each, got 1 and 2"):
        difference_of_trainings([1.0], [2.0, 2.1])


def test_the_interval_over_trainings_is_students() -> None:
    from scipy.stats import sem, t

    values = [2.0, 2.4, 2.3]
    found = over_trainings(values)
    assert (found.low, found.high) == pytest.approx(
        t.interval(0.95, 2, np.mean(values), sem(values))
    )
    assert found.pseudo == tuple(values)
    with pytest.raises(ValueError, match="at least 2 of them, got 1"):
        over_trainings([2.0])
    with pytest.raises(ValueError, match="not finite"):
        over_trainings([2.0, math.inf])


def test_nothing_is_claimed_of_numbers_that_do_not_vary() -> None:
    assert difference_of_trainings([0.1] * 3, [0.7] * 3).verdict(True) == "not distinguishable"
    one, other = jackknife(0.1, [0.1] * 3), jackknife(0.7, [0.7] * 3)
    assert paired_difference(one, other).p == 1.0
    assert difference_of_trainings([0.1] * 3, [0.7, 0.7001, 0.7]).verdict(True) == "worse"


def test_numbers_that_cannot_be_estimated_are_recognised() -> None:
    assert estimable(200, 10, 64) and not estimable(140, 10, 64)
    for count in range(20, 60):  # the rule itself: N - N / R is at least twice the dimension
        assert estimable(count, 10, 18) == (count - count / 10 >= 36)
    assert t_quantile(9) == pytest.approx(2.2621571628)
    with pytest.raises(ValueError, match="at least 2 blocks"):
        jackknife(1.0, [1.0])
    with pytest.raises(ValueError, match="not finite"):
        jackknife(1.0, [1.0, math.nan])
    with pytest.raises(ValueError, match="3 images cannot be cut into 10"):
        block_bounds(3)


def test_a_verdict_is_of_the_difference_that_is_shown() -> None:
    # the blocks' means (bias removed) say the opposite of the values
    blocks = [7.0 + 0.1 * (r % 3) for r in range(10)]
    first = Estimate(12.9, 0.1, 0, 0, tuple(blocks))
    second = Estimate(12.4, 0.1, 0, 0, tuple(b + 2 + 0.01 * r for r, b in enumerate(blocks)))
    found = paired_difference(first, second)
    assert found.value == pytest.approx(0.5)
    assert found.verdict(higher_is_better=True) == "better"


def test_what_the_blocks_do_not_show_widens_interval_and_test() -> None:
    plain = jackknife(1.0, [1.0 + 0.01 * r for r in range(10)])
    wide = plain.plus_error(0.5)
    assert wide.standard_error == pytest.approx(math.hypot(plain.standard_error, 0.5))
    assert wide.high - wide.value == pytest.approx(t_quantile(9) * wide.standard_error)
    assert wide.pseudo == plain.pseudo
    other = jackknife(2.0, [2.0 + 0.011 * r for r in range(10)])
    assert paired_difference(plain, other).p < 0.01 < paired_difference(wide, other).p
