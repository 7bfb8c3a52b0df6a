from __future__ import annotations

import json

import pytest

from zoo.data import Folder


def data(folder, **options):
    defaults = {"name": "made", "image_size": 8, "condition": "none", "test_fraction": 0.25}
    made = Folder(str(folder), **{**defaults, **options})
    made.setup()
    return made


@pytest.fixture
def fill(tmp_path, png):
    def fill(*names):
        for value, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(value, kind="PNG" if path.suffix == ".png" else "JPEG"))
        return tmp_path

    return fill


def test_sub_folders_are_the_classes(fill):
    names = [
        f"{kind}/{i}.{suffix}"
        for kind, suffix in (("dog", "jpg"), ("cat", "png"))
        for i in range(4)
    ]
    folder = fill(*names)
    (folder / "dog" / "notes.txt").write_text("not an image")
    made = data(folder, condition="label")
    assert made.class_names == ("cat", "dog")
    assert (len(made.train), len(made.test), made.num_classes) == (6, 2, 2)
    assert made.test.labels.sort().values.tolist() == [0, 1]
    for split in (made.train, made.test):  # dogs were written first, with values 0 to 3
        assert ((split.images[:, 0, 0, 0] < 4) == (split.labels == 1)).all()


def test_train_and_test_folders(fill):
    folder = fill("train/b/1.png", "train/a/2.png", "test/a/3.png")
    made = data(folder)
    assert made.train.labels.tolist() == [0, 1]
    assert made.train.images[:, 0, 0, 0].tolist() == [1, 0]
    assert made.test.images[:, 0, 0, 0].tolist() == [2]


def test_no_labels_without_sub_folders(fill):
    made = data(fill("1.png", "2.png", "3.png", "4.png"))
    assert made.train.labels is None
    assert len(made.train) == 3


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_metadata(fill, kind):
    folder = fill("train/x/1.png", "train/2.png", "test/3.png")
    lines = {
        "train": [("2.png", 1, "two, of them"), ("x/1.png", 0, "one")],
        "test": [("3.png", 1, "thrée")],
    }
    for split, rows in lines.items():
        if kind == "csv":
            text = "file_name,number,text\n" + "".join(f'{a},{b},"{c}"\n' for a, b, c in rows)
        else:
            keys = ("file_name", "number", "text")
            text = "".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows)
        (folder / split / f"metadata.{kind}").write_text(text, encoding="utf-8")
    made = data(folder, label_column="number", caption_column="text", condition="caption")
    assert made.train.labels.tolist() == [1, 0]
    assert made.train.captions == ["two, of them", "one"]
    assert made.train.images[:, 0, 0, 0].tolist() == [1, 0]
    assert made.test.captions == ["thrée"]
    assert made.num_classes == 2


def test_broken_image_is_named_by_its_file(fill):
    folder = fill(*[f"a/{i}.png" for i in range(8)])
    whole = (folder / "a" / "5.png").read_bytes()
    (folder / "a" / "5.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"broken image, .*a/5\.png: "):
        data(folder)
    with pytest.warns(UserWarning, match=r"skipped 1 of .*a/5\.png"):
        made = data(folder, on_broken="skip")
    assert made.num_skipped == 1
    assert len(made.train) + len(made.test) == 7


def test_listed_but_missing_image_is_named(fill):
    folder = fill("1.png", "2.png", "3.png", "4.png")
    names = "".join(f"{name}.png\n" for name in (1, 2, 3, 9))
    (folder / "metadata.csv").write_text("file_name\n" + names)
    with pytest.raises(ValueError, match=r"metadata\.csv, line 5: no such file, 9\.png"):
        data(folder)
    with pytest.warns(UserWarning, match=r"skipped 1 of .*9\.png"):
        assert data(folder, on_broken="skip").num_skipped == 1


def test_refuses_what_does_not_fit(fill, tmp_path):
    with pytest.raises(ValueError, match=r"no such folder: looked for .*nowhere; ZOO_DATA is not"):
        data(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(ValueError, match=r"no images in .*: 1 files, none with a known suffix"):
        data(tmp_path)
    folder = fill("1.png", "2.png", "a/3.png")
    with pytest.raises(ValueError, match=r"name the classes, but 1\.png is in none"):
        data(folder)
    with pytest.raises(ValueError, match=r"columns need metadata\.csv, .* or metadata\.parquet"):
        data(folder, caption_column="text")
    (folder / "metadata.csv").write_text("file_name,text\n1.png,one\n2.png,\n")
    with pytest.raises(ValueError, match="no column 'label'; it has file_name, text"):
        data(folder, label_column="label")
    (folder / "metadata.csv").write_text("image,text\n1.png,one\n")
    with pytest.raises(ValueError, match="no column 'file_name'; it has image, text"):
        data(folder)
    (folder / "metadata.csv").unlink()
    (folder / "metadata.jsonl").write_text('{"file_name": "1.png"}\n{"file_name"\n')
    with pytest.raises(ValueError, match=r"metadata\.jsonl, line 2: "):
        data(folder)


def test_training_looks_at_random_squares_and_the_rest_at_the_centre(tmp_path):
    import numpy as np
    import torch
    from PIL import Image

    from zoo.data import Folder

    gradient = np.tile(np.arange(12, dtype=np.uint8) * 20, (12, 1))
    for index in range(10):
        Image.fromarray(gradient).save(tmp_path / f"{index}.png")
    data = Folder(
        str(tmp_path), name="folder", image_size=8, channels=1, crop_from=12, condition="none",
        batch_size=4,
    )  # fmt: skip
    data.setup()
    assert data.train.shape == (1, 8, 8) and data.uncut.shape == (1, 12, 12)
    batch = data.train_dataloader().batch(0).images
    assert batch.shape == (4, 1, 8, 8)
    values = ((batch + 1) * 127.5).round().long()
    assert all(row.tolist() == sorted({*row.tolist()}) for row in values[:, 0, 0])
    assert set(values.unique().tolist()) <= set(range(0, 240, 20))  # cut, not resized
    validation = next(iter(data.val_dataloader())).images
    assert torch.equal(data.test.gather([0]).float() / 127.5 - 1, validation)
    with pytest.raises(ValueError, match="at least image_size=8, got 6"):
        Folder(str(tmp_path), name="folder", image_size=8, crop_from=6)
