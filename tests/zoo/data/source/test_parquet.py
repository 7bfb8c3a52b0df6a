from __future__ import annotations

import pyarrow
import pytest
import torch
from pyarrow import parquet

from zoo.data import Parquet


@pytest.fixture
def write(tmp_path):
    def write(name="train.parquet", **columns):
        parquet.write_table(pyarrow.table(columns), tmp_path / name)
        return str(tmp_path / name)

    return write


def data(file, **options):
    made = Parquet(file, **{"name": "made", "image_size": 8, "condition": "none", **options})
    made.setup()
    return made


def test_bytes_labels_and_captions_in_two_files(write, png):
    train = write(picture=[png(1), png(2)], kind=["cat", "dog"], text=["one", "two"])
    test = write("test.parquet", picture=[png(3)], kind=["ant"], text=["three"])
    columns = {"image_column": "picture", "label_column": "kind", "caption_column": "text"}
    made = data(train, test_file=test, condition="label", batch_size=2, **columns)
    assert made.class_names == ("ant", "cat", "dog")
    assert made.num_classes == 3
    assert made.train.labels.tolist() == [1, 2]
    assert made.test.labels.tolist() == [0]
    assert made.test.captions == ["three"]
    assert (made.test.images == 3).all()
    batch = made.train_dataloader().batch(0)
    expected = made.train.images[batch.condition - 1] / 127.5 - 1
    torch.testing.assert_close(batch.images, expected)


def test_struct_of_bytes_and_path(write, png, tmp_path):
    (tmp_path / "4.png").write_bytes(png(4))
    cells = [{"bytes": png(3), "path": "3.png"}, {"bytes": None, "path": str(tmp_path / "4.png")}]
    made = data(write(image=cells), test_file=write("test.parquet", image=cells[:1]))
    assert made.train.images[:, 0, 0, 0].tolist() == [3, 4]
    assert made.train.labels is None
    assert made.num_classes is None


def test_one_file_is_split_the_same_way_whatever_the_seed(write, png):
    file = write(image=[png(value) for value in range(20)], label=[i % 2 for i in range(20)])
    options = {"label_column": "label", "test_fraction": 0.2}
    made = data(file, **options)
    assert (len(made.train), len(made.test)) == (16, 4)
    assert made.test.labels.sum() == 2
    values = torch.cat([made.train.images, made.test.images])[:, 0, 0, 0]
    assert sorted(values.tolist()) == list(range(20))
    assert data(file, seed=5, **options).fingerprint == made.fingerprint
    assert data(file, split_seed=5, **options).fingerprint != made.fingerprint


@pytest.mark.parametrize("cell", [b"broken", None])
def test_broken_image_is_named_by_its_row(write, png, cell):
    images = [png(value) for value in range(20)]
    images[7] = cell
    file = write(image=images)
    with pytest.raises(ValueError, match=r"broken image, .*train\.parquet, row 7: "):
        data(file)
    with pytest.warns(UserWarning, match=r"skipped 1 of .*train\.parquet, row 7: "):
        made = data(file, on_broken="skip")
    assert made.num_skipped == 1
    assert len(made.train) + len(made.test) == 19


def test_captions_from_class_names(write, png):
    file = write(image=[png(0), png(1)], label=[0, 1])
    options = {"label_column": "label", "class_names": ["owl", "dog"], "condition": "caption"}
    made = data(file, test_file=file, caption_of_class="a photo of a {}", **options)
    assert made.train.captions == ["a photo of an owl", "a photo of a dog"]


def test_looked_for_below_zoo_data(write, png, tmp_path, monkeypatch):
    write("set.parquet", image=[png(0), png(1)])
    with pytest.raises(ValueError, match=r"looked for set\.parquet; ZOO_DATA is not set"):
        data("set.parquet")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert len(data("set.parquet", test_fraction=0.5).train) == 1
    with pytest.raises(ValueError, match=r"other\.parquet and .*other\.parquet; ZOO_DATA is /"):
        data("other.parquet")


def test_refuses_what_does_not_fit(write, png, tmp_path):
    file = write(image=[png(0), png(1)], label=[0, 7], empty=[None, "x"])
    with pytest.raises(ValueError, match="no column 'img'; it has image, label, empty"):
        data(file, image_column="img")
    with pytest.raises(ValueError, match="row 0: column 'empty' is empty"):
        data(file, caption_column="empty")
    with pytest.raises(ValueError, match=r"labels reach 7; set data.num_classes=8"):
        data(file, test_file=file, label_column="label", num_classes=5)
    with pytest.raises(ValueError, match=r"condition=caption needs captions.* possible here: none"):
        data(file, test_file=file, condition="caption")
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(ValueError, match=r"text\.parquet cannot be read as parquet"):
        data(str(tmp_path / "text.parquet"))


def test_real_emoji(users_data):
    made = data(
        "emoji/test.parquet",
        test_file="emoji/test.parquet",
        image_size=32,
        caption_column="text",
        condition="caption",
        batch_size=16,
    )
    assert made.train.images.shape == (354, 3, 32, 32)
    assert made.train.images[:, :, 0, 0].float().mean() > 250  # white corners
    batch = made.train_dataloader().batch(0)
    assert len(batch.condition) == 16
    assert all(isinstance(text, str) and text for text in batch.condition)
