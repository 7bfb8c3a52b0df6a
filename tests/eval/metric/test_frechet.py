from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from eval.metric.frechet import FrechetDistance, frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from zoo.records import Batch

SIZE = 48
NO_BATCH = Batch(torch.zeros(1, 1, 2, 2))


def features(count: int, seed: int, size: int = SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=generator, dtype=torch.float64) / size**0.5
    shift = torch.randn(size, generator=generator, dtype=torch.float64)
    return torch.randn(count, size, generator=generator, dtype=torch.float64) @ mixing + shift


def with_sqrtm(a: torch.Tensor, b: torch.Tensor) -> float:
    """The definition, by scipy."""
    covariances = [np.cov(x.numpy(), rowvar=False) for x in (a, b)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of singular products
        root = sqrtm(covariances[0] @ covariances[1]).real
    gap = (a.mean(0) - b.mean(0)).square().sum().item()
    return gap + np.trace(covariances[0] + covariances[1] - 2 * root)


@pytest.mark.parametrize(("few", "many"), [(200, 300), (SIZE + 10, 3000)])
def test_full_rank_equals_scipy_and_torch_fidelity(few: int, many: int) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = features(few, 0), features(many, 1)
    ours = frechet_distance(FeatureStatistics(a), FeatureStatistics(b))
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(a), fid_features_to_statistics(b), verbose=False
    )["frechet_inception_distance"]
    assert ours == pytest.approx(with_sqrtm(a, b), rel=1e-9)
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_equals_torchmetrics_on_its_own_sums() -> None:
    from torchmetrics.image.fid import _compute_fid

    a, b = features(500, 2), features(400, 3)
    theirs = _compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())
    ours = frechet_distance(FeatureStatistics(a), FeatureStatistics(b))
    assert ours == pytest.approx(theirs.item(), rel=1e-9)


def test_closed_form_of_commuting_gaussians() -> None:
    scales = torch.linspace(0.5, 3, SIZE, dtype=torch.float64)
    a = FeatureStatistics.from_moments(torch.zeros(SIZE), scales.square().diag(), 1000)
    b = FeatureStatistics.from_moments(torch.full((SIZE,), 0.1), torch.eye(SIZE), 1000)
    expected = (scales - 1).square().sum().item() + SIZE * 0.1**2
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)  # 0.1 is a float32


@pytest.mark.parametrize(("few", "many"), [(20, 30), (20, 400), (SIZE, 2), (SIZE, SIZE + 1)])
def test_rank_deficient_sets(few: int, many: int) -> None:
    a, b = features(few, 4), features(many, 5)
    ours = frechet_distance(FeatureStatistics(a), FeatureStatistics(b))
    assert ours == pytest.approx(_by_eigenvectors(a, b), rel=1e-9)
    # scipy squares the spectrum: its null directions are off by the root of the rounding
    assert ours == pytest.approx(with_sqrtm(a, b), abs=2e-5)
    # the rows themselves and the bare moments say the same
    bare = [_bare(FeatureStatistics(x)) for x in (a, b)]
    assert frechet_distance(*bare) == pytest.approx(ours, rel=1e-8)


def _by_eigenvectors(a: torch.Tensor, b: torch.Tensor) -> float:
    """As ``tr (S_a^(1/2) S_b S_a^(1/2))^(1/2)``, in 128-bit floats where numpy has them."""
    x, y = (
        (z - z.mean(0)).numpy().astype(np.longdouble) / np.sqrt(np.longdouble(len(z) - 1))
        for z in (a, b)
    )
    gap = float(((a.mean(0) - b.mean(0)) ** 2).sum())
    nuclear = np.linalg.svd((x @ y.T).astype(np.float64), compute_uv=False).sum()
    return gap + float((x**2).sum() + (y**2).sum()) - 2 * nuclear


def _bare(statistics: FeatureStatistics) -> FeatureStatistics:
    return FeatureStatistics.from_moments(statistics.mean, statistics.covariance, None)


@pytest.mark.parametrize("count", [2, 20, SIZE, SIZE + 1, 400])
@pytest.mark.parametrize("bare", [False, True])
def test_identical_sets_are_at_zero(count: int, bare: bool) -> None:
    statistics = FeatureStatistics(features(count, 6))
    statistics = _bare(statistics) if bare else statistics
    assert 0 <= frechet_distance(statistics, statistics) < 1e-6


def test_dead_and_collapsed_features() -> None:
    rows = features(300, 7)
    rows[:, 5] = 0.0  # a feature that never fires
    rows[:, 6] = rows[:, 7]
    rows[:, 8:30] *= 1e-9
    a, b = FeatureStatistics(rows[:150]), FeatureStatistics(rows[150:])
    assert 0 <= frechet_distance(a, a) < 1e-9
    assert frechet_distance(a, b) == pytest.approx(with_sqrtm(rows[:150], rows[150:]), abs=1e-6)
    constant = FeatureStatistics(torch.ones(10, SIZE))
    assert frechet_distance(constant, constant) == 0
    assert frechet_distance(constant, a) > 0


@pytest.mark.parametrize("spread", [1e-3, 1e-9, 1e-15])
@pytest.mark.parametrize("order", ["falling", "rising", "shuffled"])
def test_variances_of_many_magnitudes(spread: float, order: str) -> None:
    variances = torch.logspace(0, np.log10(spread), SIZE, dtype=torch.float64)
    if order != "falling":
        variances = variances.flip(0)
    if order == "shuffled":
        variances = variances[torch.randperm(SIZE, generator=torch.Generator().manual_seed(0))]
    zero = torch.zeros(SIZE)
    a = FeatureStatistics.from_moments(zero, variances.diag(), 1000)
    b = FeatureStatistics.from_moments(zero, (4 * variances).diag(), 1000)
    assert frechet_distance(a, b) == pytest.approx(variances.sum().item(), rel=1e-12)


@pytest.mark.parametrize("fall", [2, 5, 8])
def test_small_singular_values_are_not_lost(fall: int) -> None:
    """Against singular values of factors that nothing was squared for, in any basis."""
    generator = torch.Generator().manual_seed(fall)
    scales = torch.logspace(0, -fall, SIZE, dtype=torch.float64)
    sets = []
    for shift in (0, 1):
        basis = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)
        rows = torch.randn(500, SIZE, generator=generator, dtype=torch.float64) * scales
        sets.append(rows @ torch.linalg.qr(basis)[0] + 0.1 * shift)
    ours = frechet_distance(*map(FeatureStatistics, sets))
    assert ours == pytest.approx(_by_eigenvectors(*sets), rel=1e-9)


def test_eigenvalues_that_lost_digits_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = FeatureStatistics(features(200, 0)), FeatureStatistics(features(300, 1))
    right, eigenvalues = frechet_distance(a, b), torch.linalg.eigvalsh

    def rounded(matrix: torch.Tensor) -> torch.Tensor:
        found = eigenvalues(matrix)
        return found + 1e-7 * found[-1]  # as if of another 1e-7 of the largest

    monkeypatch.setattr(torch.linalg, "eigvalsh", rounded)
    assert frechet_distance(a, b) == pytest.approx(right, rel=1e-12)


def test_symmetric() -> None:
    for counts in ((200, 300), (20, 30), (20, 300)):
        a, b = (FeatureStatistics(features(n, seed)) for seed, n in enumerate(counts))
        assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)


def test_refusals() -> None:
    a = FeatureStatistics(features(20, 0))
    with pytest.raises(ValueError, match="48 and 4 dimensions"):
        frechet_distance(a, FeatureStatistics(features(20, 0, size=4)))
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(a, FeatureStatistics(features(1, 0)))


class TestMetric:
    reference = FeatureStatistics(features(300, 10) + 50)

    def metric(self) -> FrechetDistance:
        return FrechetDistance(self.reference, "small")

    @pytest.mark.parametrize("count", [10, SIZE + 1, 1500, 4000])
    def test_equals_the_function(self, count: int) -> None:
        rows = features(count, 11) + 50
        metric = self.metric()
        for piece in rows.split(333):
            metric.update({"pool": piece}, NO_BATCH)
        expected = frechet_distance(FeatureStatistics(rows), self.reference)
        assert metric.compute() == {"fid_small": pytest.approx(expected, rel=1e-9)}
        assert metric.summed.dtype == torch.int64
        assert metric.second.dtype == torch.float64

    @pytest.mark.parametrize("counts", [(10, 20), (2000, 20), (20, 2000), (1600, 1700)])
    def test_blocks_pool(self, counts: tuple[int, int]) -> None:
        rows = features(sum(counts), 12)
        parts = []
        for piece in rows.split(counts):
            parts.append(self.metric())
            parts[-1].update({"pool": piece}, NO_BATCH)
        pooled = self.metric()
        for part in parts:
            pooled.merge_state(part)
        expected = frechet_distance(FeatureStatistics(rows), self.reference)
        assert pooled.compute()["fid_small"] == pytest.approx(expected, rel=1e-9)
        assert pooled.statistics().count == sum(counts)

    def test_merging_changes_no_value(self) -> None:
        rows = features(2100, 15)
        part, other = self.metric(), self.metric()
        part.update({"pool": rows[:2000]}, NO_BATCH)
        other.update({"pool": rows[2000:]}, NO_BATCH)
        before = part.statistics()
        for _ in range(2):  # as a jackknife merges one part into many pools
            pooled = self.metric()
            pooled.merge_state(other)
            pooled.merge_state(part)
            assert pooled.statistics().count == 2100
        torch.testing.assert_close(
            part.statistics().covariance, before.covariance, rtol=1e-11, atol=1e-11
        )
        assert part.statistics().count == 2000

    def test_rows_are_not_those_of_the_caller(self) -> None:
        rows = features(20, 16)
        metric = self.metric()
        metric.update({"pool": rows}, NO_BATCH)
        value = metric.compute()
        rows.zero_()
        metric._computed = None
        assert metric.compute() == value

    def test_gathered_rows_arrive_as_one_tensor(self) -> None:
        rows = features(60, 13)
        metric = self.metric()
        metric.update({"pool": rows[:30]}, NO_BATCH)
        metric.rows = torch.cat(metric.rows)  # as torchmetrics leaves it after a gather
        metric.update({"pool": rows[30:]}, NO_BATCH)
        assert metric.statistics().count == 60

    def test_reset_clone_and_pickle(self) -> None:
        import pickle

        metric = self.metric()
        metric.update({"pool": features(30, 14)}, NO_BATCH)
        value = metric.compute()
        assert pickle.loads(pickle.dumps(metric)).compute() == value
        assert metric.clone().compute() == value
        metric.reset()
        with (
            pytest.warns(UserWarning, match="before"),
            pytest.raises(ValueError, match="of 0 features"),
        ):
            metric.compute()

    def test_an_empty_metric_takes_no_room_and_is_one_again_after_a_reset(self) -> None:
        metric, rows = self.metric(), features(1500, 17)
        for _ in range(2):
            assert metric.second.untyped_storage().nbytes() <= 8 * metric.second.numel()
            metric.update({"pool": rows}, NO_BATCH)
            assert metric.summed == 1500
            assert metric._defaults["second"].untyped_storage().nbytes() == 8
            expected = frechet_distance(FeatureStatistics(rows), self.reference)
            assert metric.compute()["fid_small"] == pytest.approx(expected, rel=1e-9)
            metric.reset()
        assert self.metric().second.untyped_storage().nbytes() == 8

    def test_refusals(self) -> None:
        metric = self.metric()
        with pytest.raises(ValueError, match="reads the feature 'pool', which small does not"):
            metric.update({"logits": torch.zeros(2, SIZE)}, NO_BATCH)
        with pytest.raises(ValueError, match=r"\(B, 48\)"):
            metric.update({"pool": torch.zeros(2, 3)}, NO_BATCH)
        with pytest.raises(ValueError, match="NaN"):
            metric.update({"pool": torch.full((2, SIZE), float("nan"))}, NO_BATCH)
