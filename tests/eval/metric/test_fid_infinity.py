from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.feature_statistics import FeatureStatistics
from eval.metric.fid_infinity import fid_infinity

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
    with pytest.raises(ValueError, match="not estimable from 12 images: its smallest subset needs"):
        fid_infinity(features(12, 0), REFERENCE)
