from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kernel_mmd

from eval.measure.blocks import Blocks
from eval.metric import FrechetDistance
from eval.metric.few_images import FewImagesReference
from eval.moments.feature_statistics import FeatureStatistics
from eval.source.batch import Images


def features(count: int, seed: int, dimensions: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator) + 0.3 * seed


def direct(x: torch.Tensor, y: torch.Tensor) -> float:
    """KID by its definition, pair by pair."""
    x, y = x.double(), y.double()

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    one = [k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    other = [k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    both = [k(a, b) for a in x for b in y]
    return sum(one) / len(one) + sum(other) / len(other) - 2 * sum(both) / len(both)


def test_kid_is_torch_fidelitys_over_one_subset_of_all() -> None:
    ours, real = features(40, 0), features(40, 1)
    peer = kernel_mmd(
        ours.double().numpy(), real.double().numpy(), kid_kernel="poly", kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1.0,
    )  # fmt: skip
    assert FewImagesReference(real).kid(ours).value == pytest.approx(float(peer), rel=1e-9)


def test_kid_and_its_interval_are_the_definitions_for_sets_of_two_sizes() -> None:
    ours, real = features(23, 0), features(31, 1)
    found = FewImagesReference(real).kid(ours)
    assert found.value == pytest.approx(direct(ours, real), rel=1e-9)
    bounds = [(23 * r // 10, 23 * (r + 1) // 10) for r in range(10)]
    rest = [torch.cat([ours[:a], ours[b:]]) for a, b in bounds]
    pseudo = [10 * found.value - 9 * direct(some, real) for some in rest]
    assert found.pseudo == pytest.approx(pseudo, rel=1e-7)
    assert found.high - found.value == pytest.approx(
        2.262157 * np.std(pseudo, ddof=1) / 10**0.5, rel=1e-5
    )


def test_fid_is_the_harness_own_with_the_same_interval() -> None:
    ours, real = features(40, 0), features(60, 1)
    blocks = Blocks(lambda: FrechetDistance(FeatureStatistics(real), "x"), 40)
    blocks.update({"pool": ours}, Images(torch.zeros(40, 1, 1, 1, dtype=torch.uint8)))
    expected, found = blocks.estimates()["fid_x"], FewImagesReference(real).fid(ours)
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)


def test_too_few_images_have_numbers_but_no_interval_and_one_has_none() -> None:
    few = FewImagesReference(features(30, 1))
    assert few.kid(features(19, 0)).low == few.fid(features(19, 0)).low == -np.inf
    assert few.kid(features(20, 0)).low > -np.inf
    for number in (few.kid, few.fid):
        with pytest.raises(ValueError, match="at least 2 images, got 1"):
            number(features(1, 0))
        with pytest.raises(ValueError, match="NaN"):
            number(torch.full((20, 6), torch.nan))
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        FewImagesReference(features(1, 1))
