"""Distances without each part, compared with the distance of what is left."""

from __future__ import annotations

import pytest
import torch

from eval.moments import FeatureStatistics, frechet_distance
from eval.moments.leave_out import distances_without_each

SIZE = 24


def rows(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64) / SIZE**0.5
    shift = torch.randn(SIZE, generator=generator, dtype=torch.float64)
    return torch.randn(count, SIZE, generator=generator, dtype=torch.float64) @ mixing + shift


@pytest.mark.parametrize(
    ("sizes", "real"),
    [
        pytest.param((5, 5, 4, 6), 200, id="fewer features than dimensions"),
        pytest.param((8, 8, 8), 200, id="as many features as dimensions"),
        pytest.param((9, 20, 11), 200, id="kept features, more than dimensions"),
        pytest.param((50, 70, 40), 200, id="summed features"),
        pytest.param((9, 70, 24, 25), 200, id="kept and summed features"),
        pytest.param((5, 5, 4, 6), 12, id="both few"),
        pytest.param((40, 50, 60), 12, id="few real ones"),
    ],
)
def test_each_is_the_distance_of_the_rest(sizes: tuple[int, ...], real: int) -> None:
    parts = rows(sum(sizes), 0).split(list(sizes))
    reference = FeatureStatistics(rows(real, 1))
    whole, without = distances_without_each([*map(FeatureStatistics, parts)], reference)
    assert whole == pytest.approx(
        frechet_distance(FeatureStatistics(torch.cat(parts)), reference), rel=1e-6
    )
    for index, distance in enumerate(without):
        rest = torch.cat([*parts[:index], *parts[index + 1 :]])
        expected = frechet_distance(FeatureStatistics(rest), reference)
        assert distance == pytest.approx(expected, rel=1e-6)
        assert abs((distance - whole) / (expected - whole) - 1) < 1e-4


def test_statistics_without_a_count_are_a_reference() -> None:
    real = rows(200, 1)
    known = FeatureStatistics(real)
    bare = FeatureStatistics.from_moments(known.mean, known.covariance, None)
    parts = [FeatureStatistics(part) for part in rows(60, 0).split(20)]
    assert distances_without_each(parts, bare).without == pytest.approx(
        distances_without_each(parts, known).without, rel=1e-9
    )
