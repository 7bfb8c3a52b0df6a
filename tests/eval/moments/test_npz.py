from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from eval.moments.feature_statistics import FeatureStatistics

RANDOM = np.random.RandomState(0)
ROWS = RANDOM.normal(3, 2, (50, 6))
SPATIAL = RANDOM.normal(-1, 3, (50, 4))


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(0), np.cov(rows, rowvar=False)


def published(folder: Path, publisher: str) -> Path:
    """A file as its publisher's own code writes it: which arrays, of which type."""
    mu, sigma = moments(ROWS)
    path = folder / f"{publisher}.npz"
    if publisher == "pytorch-fid":
        np.savez_compressed(path, mu=mu, sigma=sigma)
    elif publisher == "adm":  # the evaluator's batches: images, float32 moments of both layers
        mu_s, sigma_s = moments(SPATIAL)
        arrays = {"mu": mu, "sigma": sigma, "mu_s": mu_s, "sigma_s": sigma_s}
        images = np.zeros((3, 8, 8, 3), np.uint8)
        np.savez(path, arr_0=images, **{k: v.astype(np.float32) for k, v in arrays.items()})
    else:  # clean-fid and EDM
        np.savez(path, mu=mu, sigma=sigma)
    return path


@pytest.mark.parametrize("publisher", ["pytorch-fid", "clean-fid", "edm", "adm"])
def test_published_files_are_read(tmp_path: Path, publisher: str) -> None:
    statistics = FeatureStatistics.load(published(tmp_path, publisher))
    mu, sigma = moments(ROWS)
    assert statistics.count is None
    np.testing.assert_allclose(statistics.mean, mu, rtol=1e-6)
    np.testing.assert_allclose(statistics.covariance, sigma, rtol=1e-6, atol=1e-6)


def test_spatial_moments_are_adms_further_ones(tmp_path: Path) -> None:
    statistics = FeatureStatistics.load(published(tmp_path, "adm"), "spatial")
    mu, sigma = moments(SPATIAL)
    np.testing.assert_allclose(statistics.mean, mu, rtol=1e-6)
    np.testing.assert_allclose(statistics.covariance, sigma, rtol=1e-6, atol=1e-6)


def test_images_beside_the_moments_are_not_read(tmp_path: Path) -> None:
    path = published(tmp_path, "adm")
    data = path.read_bytes()
    head = data.index(b"arr_0.npy") + 200  # within the images
    path.write_bytes(data[:head] + b"\xff" * 8 + data[head + 8 :])
    with pytest.raises(Exception, match="CRC"):
        np.load(path)["arr_0"]
    assert FeatureStatistics.load(path).dimensions == 6


def test_pytorch_fid_reads_what_is_saved(tmp_path: Path) -> None:
    from pytorch_fid import fid_score

    path = FeatureStatistics(torch.from_numpy(ROWS)).save(tmp_path / "ours.npz")
    mu, sigma = fid_score.compute_statistics_of_path(str(path), None, 1, 6, "cpu")
    np.testing.assert_allclose(mu, ROWS.mean(0), rtol=1e-14)
    np.testing.assert_allclose(sigma, np.cov(ROWS, rowvar=False), rtol=1e-12, atol=1e-14)


def test_clean_fid_reads_what_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cleanfid.features

    folder = tmp_path / "stats"
    folder.mkdir()
    FeatureStatistics(torch.from_numpy(ROWS)).save(folder / "mine_clean_custom_na.npz")
    monkeypatch.setattr(cleanfid, "__file__", str(tmp_path / "__init__.py"))
    mu, sigma = cleanfid.features.get_reference_statistics("mine", "na", split="custom")
    np.testing.assert_allclose(mu, ROWS.mean(0), rtol=1e-14)
    np.testing.assert_allclose(sigma, np.cov(ROWS, rowvar=False), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("arrays", "feature", "says"),
    [
        (
            {"arr_0": np.zeros((3, 4, 4, 3), np.uint8)},
            "pool",
            r"has arr_0 \(3, 4, 4, 3\): .*images",
        ),
        ({"mu": np.zeros(3), "sigma": np.eye(3)}, "spatial", r"mu_s and sigma_s, has .*pooled"),
        ({"feats": np.zeros((9, 3))}, "pool", r"has feats \(9, 3\): a file that pytorch-fid"),
        ({}, "pool", "has nothing"),
        ({"mu": np.zeros(3), "sigma": np.eye(3)}, "logits", "pool and spatial features"),
        ({"mu": np.zeros(3), "sigma": np.zeros(3)}, "pool", r"needed, got \(3,\) and \(3,\)"),
        ({"mu": np.zeros(2), "sigma": np.array([[1.0, 9], [0, 1]])}, "pool", "not symmetric"),
        ({"mu": np.full(2, np.nan), "sigma": np.eye(2)}, "pool", "NaN"),
        ({"mu": np.array(["a"]), "sigma": np.eye(1)}, "pool", "not statistics of features"),
        ({"mu": np.zeros(2), "sigma": np.eye(2), "count": np.zeros(2)}, "pool", "not statistics"),
    ],
)
def test_another_npz_is_refused_in_one_line(
    tmp_path: Path, arrays: dict[str, np.ndarray], feature: str, says: str
) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=says) as refusal:
        FeatureStatistics.load(path, feature)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_torn_file_is_refused(tmp_path: Path, share: float) -> None:
    path = published(tmp_path, "pytorch-fid")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        ValueError, match=r"pytorch-fid\.npz: not an npz file of statistics, or torn"
    ):
        FeatureStatistics.load(path)


@pytest.mark.parametrize("publisher", ["edm", "pytorch-fid"])
def test_a_flipped_byte_is_noticed(tmp_path: Path, publisher: str) -> None:
    path = published(tmp_path, publisher)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="not an npz file of statistics, or torn"):
        FeatureStatistics.load(path)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    import pickle

    path = tmp_path / "stats.pkl"
    path.write_bytes(pickle.dumps({"fid": {"mu": ROWS.mean(0)}}))
    with pytest.raises(ValueError, match="not an npz file of statistics"):
        FeatureStatistics.load(path)
