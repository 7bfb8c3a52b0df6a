from __future__ import annotations

import pyarrow
import pytest
import torch
from pyarrow import parquet

from zoo.data import Cifar10


@pytest.fixture
def folder(tmp_path, png):
    for split, count in (("train", 20), ("test", 10)):
        images, labels = [png(value, (32, 32)) for value in range(count)], list(range(10))
        table = pyarrow.table({"img": images, "label": (labels * 2)[:count]})
        (tmp_path / "cifar10").mkdir(exist_ok=True)
        parquet.write_table(table, tmp_path / "cifar10" / f"{split}.parquet")
    return tmp_path


@pytest.mark.parametrize("by", ["override", "environment"])
def test_from_parquet(folder, by, monkeypatch):
    if by == "environment":
        monkeypatch.setenv("ZOO_DATA", str(folder))
    made = Cifar10(folder=str(folder / "cifar10") if by == "override" else None, hub=None)
    made.prepare_data()
    made.setup()
    assert (len(made.train), len(made.test)) == (20, 10)
    assert made.train.captions[:2] == ["a photo of an airplane", "a photo of an automobile"]
    assert made.train.captions[3] == "a photo of a cat"
    assert made.flip
    assert made.num_classes == 10


def test_missing_files_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"nowhere/train\.parquet is missing; ZOO_DATA is not set"):
        Cifar10(folder=str(tmp_path / "nowhere")).setup()
    with pytest.raises(ValueError, match=r"ZOO_DATA is not set; put train\.parquet"):
        Cifar10(hub=None).setup()
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    with pytest.raises(
        ValueError, match=r"cifar10/train\.parquet is missing; looked in ZOO_DATA=/"
    ):
        Cifar10(hub=None).setup()


def test_hub_that_cannot_be_reached_says_what_to_do(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"CIFAR-10: .*no-such-folder\[train\] cannot be loaded: .*"
        r"ZOO_DATA is not set; put train\.parquet",
    ):
        Cifar10(hub=str(tmp_path / "no-such-folder")).setup()


def test_from_the_hub(folder, monkeypatch):
    # A folder of parquet files is what the library makes of a name on the hub.
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "library")
    local = Cifar10(folder=str(folder / "cifar10"))
    hub = Cifar10(hub=str(folder / "cifar10"))
    for made in (local, hub):
        made.prepare_data()
        made.setup()
    assert hub.fingerprint == local.fingerprint


def test_real_cifar10(users_data):
    made = Cifar10(batch_size=500)
    made.decoder.memory_limit = 0  # decoding all 60,000 takes longer than a test may
    made.setup()
    assert (len(made.train), len(made.test)) == (50_000, 10_000)
    assert made.train.labels.bincount().tolist() == [5_000] * 10
    assert made.test.labels.bincount().tolist() == [1_000] * 10
    batch = made.train_dataloader().batch(0)
    assert batch.images.shape == (500, 3, 32, 32)
    mean = (batch.images.mean(dim=(0, 2, 3)) + 1) / 2
    published = torch.tensor([0.4914, 0.4822, 0.4465])  # of the train split
    assert (mean - published).abs().max() < 0.03
