from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.measure.blocks import Blocks
from eval.metric.fid_infinity import FidInfinity, fid_infinity, influences, shares
from eval.metric.frechet import frechet_distance
from eval.metric.metric import NotEstimable
from eval.moments.feature_statistics import FeatureStatistics
from eval.result.uncertainty import Estimate, block_bounds, jackknife
from eval.source.batch import Images

SIZE = 6
REFERENCE = FeatureStatistics.from_moments(
    torch.zeros(SIZE), torch.eye(SIZE, dtype=torch.float64), 10**9
)
TRUTH = SIZE * (0.5**2 + (1.5 - 1) ** 2)  # of N(0.5, 1.5^2) and N(0, 1)


def features(count: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.5, 1.5, (count, SIZE)))


def test_removes_the_bias_of_a_count() -> None:
    found = [fid_infinity(features(60, seed), REFERENCE, 6, seed) for seed in range(300)]
    plain = np.mean([one.distances[-1] for one in found]) - TRUTH
    extrapolated = np.mean([one.value for one in found]) - TRUTH
    assert plain > 0
    assert abs(extrapolated) < 0.5 * plain
    assert np.mean([one.slope for one in found]) > 0


def test_is_the_line_through_its_points_and_seeded() -> None:
    found = fid_infinity(features(200, 0), REFERENCE, points=5)
    assert found.counts == (20, 65, 110, 155, 200)
    line = np.polyfit(1 / np.array(found.counts), found.distances, 1)
    assert found.value == pytest.approx(line[1]) and found.slope == pytest.approx(line[0])
    assert fid_infinity(features(200, 0), REFERENCE, points=5) == found
    assert fid_infinity(features(200, 0), REFERENCE, points=5, seed=1) != found


def test_says_when_it_cannot_be_estimated() -> None:
    with pytest.raises(NotEstimable, match="not estimable from 12 images: its smallest subset"):
        fid_infinity(features(12, 0), REFERENCE)
    with pytest.raises(NotEstimable, match="23 images"):
        fid_infinity(features(23, 0), REFERENCE)
    assert fid_infinity(features(24, 0), REFERENCE, 3).counts == (12, 18, 24)
    with pytest.raises(ValueError, match="at least 2 points"):
        fid_infinity(features(24, 0), REFERENCE, 1)


def test_influences_are_what_leaving_an_image_out_takes_away() -> None:
    some, count = features(400, 1), 400
    whole = frechet_distance(FeatureStatistics(some), REFERENCE)
    rows = range(0, count, 20)
    without = [
        frechet_distance(FeatureStatistics(torch.cat([some[:row], some[row + 1 :]])), REFERENCE)
        for row in rows
    ]
    exact = (count - 1) * (whole - torch.tensor(without, dtype=torch.float64))
    found = influences(some, REFERENCE)
    assert float(found.mean()) == pytest.approx(0, abs=1e-10)
    assert np.corrcoef(exact, found[list(rows)])[0, 1] > 0.999
    # exact has the bias of order 1/N on top, the same for all images but for noise
    assert float((exact - found[list(rows)]).std()) < 0.05 * float(exact.std())


def test_influences_in_one_dimension_have_a_closed_form() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(0.5, 1.5, (50, 1)))
    reference = FeatureStatistics.from_moments(torch.tensor([0.2]), torch.tensor([[0.49]]), None)
    mean, deviation = x.mean(), x.std()
    want = 2 * (mean - 0.2) * (x - mean) + (1 - 0.7 / deviation) * (x - mean).square()
    torch.testing.assert_close(
        influences(x, reference), (want - want.mean())[:, 0], rtol=1e-5, atol=1e-6
    )


def test_shares_are_the_weights_of_the_images_in_the_line() -> None:
    share = shares(200, SIZE, 15, seed=0)
    assert float(share.sum()) == pytest.approx(1)
    means = torch.from_numpy(np.random.default_rng(1).normal(size=200))
    counts = np.linspace(20, 200, 15).round().astype(int)
    random = np.random.RandomState(0)
    at_each = [means.numpy()[random.permutation(200)[:n]].mean() for n in counts]
    assert float(share @ means) == pytest.approx(np.polyfit(1 / counts, at_each, 1)[1])


def estimate(some: torch.Tensor) -> Estimate:
    metric = FidInfinity(REFERENCE, "toy")
    whole, without = metric.leave_out(some, block_bounds(len(some)))
    return jackknife(whole["fid_infinity_toy"], [one["fid_infinity_toy"] for one in without])


def test_its_standard_error_is_that_of_many_trials() -> None:
    found = [estimate(features(600, seed)) for seed in range(200)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.15)
    covered = np.mean([one.low <= TRUTH <= one.high for one in found])
    assert 0.92 <= covered <= 0.99


def test_metric_is_fed_in_batches_and_has_an_interval() -> None:
    some = features(300, 0).float()
    blocks = Blocks(lambda: FidInfinity(REFERENCE, "toy", points=5, seed=3), 300)
    for part in some.split(70):
        blocks.update({"pool": part}, Images(torch.zeros(len(part), 1, 1, 1, dtype=torch.uint8)))
    (found,) = blocks.estimates().items()
    assert found[0] == "fid_infinity_toy"
    assert found[1].value == pytest.approx(fid_infinity(some, REFERENCE, 5, 3).value, rel=1e-6)
    assert found[1].corrected == pytest.approx(found[1].value)  # there is no bias to remove
    few = FidInfinity(REFERENCE, "toy")
    few.update({"pool": some[:20]}, None)
    with pytest.raises(NotEstimable, match="20 images"):
        few.compute()
    with pytest.raises(ValueError, match=r"of one D, got \(2, 3\)"):
        few.update({"pool": torch.zeros(2, 3)}, None)
