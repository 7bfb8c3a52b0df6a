from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from eval.metric.kernel import (
    ClipKernelDistance,
    KernelDistance,
    cubic,
    gaussian_mmd,
    kernel_distance,
    subset_indices,
)
from zoo.records import Batch

NO_BATCH = Batch(torch.zeros(1, 1, 2, 2))


def features(count: int, seed: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 24, generator=generator) + shift


def test_equals_torch_fidelity() -> None:
    from torch_fidelity.metric_kid import (
        KEY_METRIC_KID_MEAN,
        KEY_METRIC_KID_STD,
        kid_features_to_metric,
    )

    a, b = features(300, 0).double(), features(250, 1, 0.3).double()
    theirs = kid_features_to_metric(
        a, b, kid_subsets=20, kid_subset_size=100, rng_seed=2020, verbose=False
    )
    ours = kernel_distance(a, b, 20, 100, seed=2020)
    assert float(ours.mean()) == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-6)
    assert float(ours.std(correction=0)) == pytest.approx(theirs[KEY_METRIC_KID_STD], rel=1e-6)


def test_is_unbiased() -> None:
    found = [
        float(kernel_distance(features(40, s), features(40, s + 500), 1, 40)) for s in range(300)
    ]
    error = np.std(found) / len(found) ** 0.5
    assert abs(np.mean(found)) < 3 * error
    assert min(found) < 0  # and so it may be negative


def test_gaussian_mmd_is_the_definition() -> None:
    a, b = features(70, 0), features(50, 1, 0.5)
    x, y = (v.double() / v.double().norm(dim=1, keepdim=True) for v in (a, b))

    def mean_kernel(p: Tensor, q: Tensor) -> float:
        return float(torch.exp(-torch.cdist(p, q).square() / (2 * 10.0**2)).mean())

    want = 1000 * (mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))
    assert gaussian_mmd(a, b) == pytest.approx(want, rel=1e-6)
    assert gaussian_mmd(a, a) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("kind", [KernelDistance, ClipKernelDistance])
def test_batches_and_merging_do_not_matter(kind: type[KernelDistance]) -> None:
    a, b = features(5000, 0), features(200, 1, 0.3)
    whole = kind(b, "small")
    whole.update({"pool": a}, NO_BATCH)
    first, second = kind(b, "small"), kind(b, "small")
    for part in a[:4500].split(700):
        first.update({"pool": part}, NO_BATCH)
    second.update({"pool": a[4500:]}, NO_BATCH)
    first.merge_state(second)
    assert len(first.features) == 5000
    assert sorted(first.features[:, 0].tolist()) == sorted(a[:, 0].tolist())
    if kind is ClipKernelDistance:  # KID's subsets depend on the order
        assert first.compute() == pytest.approx(whole.compute(), rel=1e-9)


def test_refusals_say_what_was_got() -> None:
    with pytest.raises(ValueError, match="subsets of 1000 need 2 to 50"):
        kernel_distance(features(50, 0), features(60, 1))
    with pytest.raises(ValueError, match="of one D, got"):
        kernel_distance(features(50, 0), features(60, 1)[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        gaussian_mmd(features(5, 0) * torch.nan, features(5, 1))


def test_balanced_classes_lower_the_estimate_by_the_docstrings_formula():
    points = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0], [2.0, 1.0, 0.0]], dtype=torch.float64)
    kernel = (points @ points.T / 3 + 1) ** 3
    gap = float(kernel.diagonal().mean() - kernel.mean())
    ours, theirs = points.repeat(4, 1), points.repeat(4, 1)
    found = kernel_distance(ours, theirs, subsets=1, subset_size=12)
    assert float(found) == pytest.approx(-gap * 2 / 11, rel=1e-12)


@pytest.mark.parametrize("counts", [(40, 60), (33, 33), (70, 40)])
def test_one_kernel_of_all_pairs_gives_the_subsets_distances(monkeypatch, counts) -> None:
    monkeypatch.setattr("eval.metric.kernel._CHUNK", 16)  # several parts of each
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(count, 8, generator=generator) for count in counts)
    ours = kernel_distance(x, y, subsets=30, subset_size=20)
    for value, (rows, others) in zip(ours, subset_indices(*counts, 30, 20, 0), strict=True):
        a, b = x[rows].double(), y[others].double()
        off = 1 - torch.eye(20, dtype=torch.float64)
        within = ((cubic(a, a) + cubic(b, b)) * off).sum() / (20 * 19)
        assert value.item() == pytest.approx((within - 2 * cubic(a, b).mean()).item(), abs=1e-13)
    few = kernel_distance(x, y, subsets=1, subset_size=20)  # one by one
    assert few[0].item() == pytest.approx(ours[0].item(), abs=1e-13)
