"""Sources that go through the ``datasets`` library."""

from __future__ import annotations

import io
import tarfile

import datasets
import pytest

from zoo.data import Hub, WebDataset


@pytest.fixture(autouse=True)
def library_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "library")
    datasets.disable_progress_bars()


def test_hub_with_class_names_captions_and_a_split(tmp_path, png):
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "text": datasets.Value("string"),
        }
    )
    rows = {
        "image": [{"bytes": png(value), "path": None} for value in range(10)],
        "label": [value % 2 for value in range(10)],
        "text": [f"image {value}" for value in range(10)],
    }
    datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "set" / "train.parquet")
    made = Hub(
        str(tmp_path / "set"),
        test_split=None,
        label_column="label",
        caption_column="text",
        test_fraction=0.2,
        name="made",
        image_size=8,
    )
    made.prepare_data()
    made.setup()
    assert made.class_names == ("cat", "dog")
    assert (len(made.train), len(made.test)) == (8, 2)
    for split in (made.train, made.test):
        values = split.images[:, 0, 0, 0]
        assert (values % 2 == split.labels).all()
        assert split.captions == [f"image {value}" for value in values.tolist()]
    with pytest.raises(ValueError, match="no column 'picture'; it has image, label, text"):
        Hub(
            str(tmp_path / "set"), test_split=None, image_column="picture", name="x", image_size=8
        ).setup()


def test_web_dataset(tmp_path, png):
    shard = tmp_path / "train-0.tar"
    with tarfile.open(shard, "w") as tar:
        for value in range(8):
            parts = {"png": png(value), "cls": str(value % 2).encode(), "txt": b"words"}
            for suffix, content in parts.items():
                info = tarfile.TarInfo(f"{value:04}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    made = WebDataset(
        str(tmp_path / "train-*.tar"),
        label_column="cls",
        caption_column="txt",
        test_fraction=0.25,
        name="made",
        image_size=8,
    )
    made.setup()
    assert (len(made.train), len(made.test)) == (6, 2)
    assert made.train.captions == ["words"] * 6
    for split in (made.train, made.test):
        assert (split.images[:, 0, 0, 0] % 2 == split.labels).all()
