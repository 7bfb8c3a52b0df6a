from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.moments.feature_statistics import FeatureStatistics


def features(count: int, size: int = 5, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=generator, dtype=torch.float64)
    return torch.randn(count, size, generator=generator, dtype=torch.float64) @ mixing + 100


@pytest.mark.parametrize("count", [2, 5, 6, 1023, 1024, 1025, 3000])
def test_equal_to_numpy_in_uneven_batches(count: int) -> None:
    rows = features(count)
    statistics = FeatureStatistics()
    for piece in rows.split(700):
        for small in piece.tensor_split(3):
            statistics.update(small)
    assert statistics.count == count
    np.testing.assert_allclose(statistics.mean, rows.mean(0), rtol=1e-13)
    np.testing.assert_allclose(
        statistics.covariance, np.cov(rows.numpy(), rowvar=False), rtol=1e-10, atol=1e-10
    )


def test_a_large_mean_does_not_cancel() -> None:
    rows = features(5000) + 1e7
    statistics = FeatureStatistics(rows)
    np.testing.assert_allclose(statistics.covariance, torch.cov(rows.T), rtol=1e-8)


@pytest.mark.parametrize(("first", "second"), [(3, 2), (3, 2000), (2000, 3), (1500, 1600), (0, 4)])
def test_merge_equals_one_pass(first: int, second: int) -> None:
    rows = features(first + second)
    merged, other = FeatureStatistics(rows[:first]), FeatureStatistics(rows[first:])
    before = other.covariance.clone()
    merged.merge(other)
    whole = FeatureStatistics(rows)
    assert merged.count == first + second
    torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-13, atol=0)
    torch.testing.assert_close(merged.covariance, whole.covariance, rtol=1e-10, atol=1e-10)
    assert torch.equal(other.covariance, before)
    merged.update(rows)  # does not write into what was merged
    assert torch.equal(other.covariance, before)


def test_rows_are_kept_while_they_are_no_more_than_dimensions() -> None:
    rows = features(6)
    statistics = FeatureStatistics(rows[:5])
    torch.testing.assert_close(statistics.centred, rows[:5] - rows[:5].mean(0))
    statistics.update(rows[5:])
    assert statistics.centred is None


def test_reading_half_way_changes_nothing() -> None:
    rows = features(3000)
    read = FeatureStatistics()
    for piece in rows.split(100):
        read.update(piece)
        if read.count > 1:
            _ = read.mean, read.covariance
    whole = FeatureStatistics(rows)
    torch.testing.assert_close(read.covariance, whole.covariance, rtol=1e-10, atol=1e-10)


def test_float32_rows_are_summed_in_float64_and_not_aliased() -> None:
    rows = features(4).float()
    statistics = FeatureStatistics(rows)
    mean = statistics.mean.clone()
    rows.zero_()
    assert statistics.mean.dtype == statistics.covariance.dtype == torch.float64
    assert torch.equal(statistics.mean, mean)


@pytest.mark.parametrize("count", [4, 50])
def test_a_file_gives_the_statistics_back(tmp_path, count: int) -> None:
    statistics = FeatureStatistics(features(count))
    path = statistics.save(tmp_path / "reference")  # whatever its ending
    assert path.name == "reference"
    loaded = FeatureStatistics.load(path)
    assert loaded.count == count
    assert (loaded.centred is None) == (statistics.centred is None)
    torch.testing.assert_close(loaded.mean, statistics.mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(loaded.covariance, statistics.covariance, rtol=1e-10, atol=1e-12)
    loaded.merge(statistics)
    assert loaded.count == 2 * count


def test_a_published_file_has_no_count(tmp_path) -> None:
    rows = features(50).numpy()
    np.savez(tmp_path / "fid.npz", mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))
    statistics = FeatureStatistics.load(tmp_path / "fid.npz")
    assert statistics.count is None
    assert statistics.dimensions == 5
    np.testing.assert_array_equal(statistics.covariance, np.cov(rows, rowvar=False))
    again = FeatureStatistics.load(statistics.save(tmp_path / "again.npz"))
    assert torch.equal(again.covariance, statistics.covariance)
    for change in (lambda: statistics.update(features(2)), lambda: statistics.merge(statistics)):
        with pytest.raises(ValueError, match="without a count"):
            change()


def test_refusals(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"\(B, D\)"):
        FeatureStatistics(torch.zeros(3))
    with pytest.raises(ValueError, match="NaN or infinite"):
        FeatureStatistics(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(ValueError, match="at least 2"):
        _ = FeatureStatistics(features(1)).covariance
    with pytest.raises(ValueError, match="at least 1"):
        _ = FeatureStatistics().mean
    with pytest.raises(ValueError, match="4 dimensions, 5 before"):
        FeatureStatistics(features(3)).update(features(3, size=4))
    with pytest.raises(ValueError, match="4 dimensions merged into 5"):
        FeatureStatistics(features(3)).merge(FeatureStatistics(features(3, size=4)))
    with pytest.raises(ValueError, match="no such statistics file"):
        FeatureStatistics.load(tmp_path / "none.npz")
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ValueError, match="not an npz"):
        FeatureStatistics.load(tmp_path / "torn.npz")
    np.savez(tmp_path / "images.npz", arr_0=np.zeros(3))
    with pytest.raises(ValueError, match="needs arrays mu and sigma, has arr_0"):
        FeatureStatistics.load(tmp_path / "images.npz")
    np.savez(tmp_path / "odd.npz", mu=np.zeros(3), sigma=np.eye(2))
    with pytest.raises(ValueError, match=r"odd\.npz: not statistics of features \(a mean"):
        FeatureStatistics.load(tmp_path / "odd.npz")
