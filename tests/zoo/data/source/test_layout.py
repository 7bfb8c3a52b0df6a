"""How folders are read: wrappers, splits and classes."""

from __future__ import annotations

import unicodedata
import zipfile

import pytest

from eval.source.stored import open_images
from zoo.data import Folder
from zoo.data.source.layout import split_of, splits_of, unwrapped
from zoo.data.source.listing import open_files


@pytest.fixture(params=["folder", "zip"])
def fill(request, tmp_path, png):
    """Makes a folder or a zip of images; the i-th has the value i."""

    def fill(*names):
        encoded = {name: png(value) for value, name in enumerate(names)}
        if request.param == "zip":
            with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
                for name, content in encoded.items():
                    archive.writestr(name, content)
            return tmp_path / "set.zip"
        for name, content in encoded.items():
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / "set"

    return fill


def data(folder, **options):
    defaults = {"name": "made", "image_size": 8, "condition": "none", "test_fraction": 0.5}
    made = Folder(str(folder), **{**defaults, **options})
    made.setup()
    return made


def values(images):
    return images.gather(range(len(images)))[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "val"), ("train", "valid"), ("train", "validation"), ("train", "test"),
        ("Train", "VAL"), ("TRAIN", "Test"), ("training", "testing"), ("train", "dev"),
        ("train", "eval"), ("train", "holdout"), ("train2017", "val2017"),
        ("train_64x64", "valid_64x64"), ("train_images", "test_images"), ("trainA", "testA"),
        ("church_train", "church_test"), ("images_train", "images_val"),
        ("Church_train", "church_Test"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrapper", ["", "images/", "cifar/data/"])
def test_split_folders_are_splits(train, test, wrapper, fill):
    folder = fill(
        f"{wrapper}{train}/b/0.png", f"{wrapper}{train}/a/1.png", f"{wrapper}{test}/b/2.png"
    )
    made = data(folder, condition="label")
    assert (values(made.train), values(made.test)) == ([1, 0], [2])
    assert made.class_names == ("a", "b")
    assert (made.train.labels.tolist(), made.test.labels.tolist()) == ([0, 1], [1])
    with pytest.raises(
        ValueError, match=f"holds the splits {train}/, {test}/: name the images of one"
    ):
        open_images(folder)


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["train", "car"], ("car", "train")),  # CIFAR-100 has a class of trains
        (["train station", "test tube"], ("test tube", "train station")),
        (["trained", "tested"], ("tested", "trained")),
        (["valley", "trainer"], ("trainer", "valley")),
        (["10", "9", "1"], ("1", "9", "10")),
        (["10", "9", "b", "A"], ("9", "10", "A", "b")),
    ],
)
def test_classes_that_are_no_splits(names, classes, fill):
    made = data(fill(*[f"{name}/{i}.png" for name in names for i in range(2)]), condition="label")
    assert made.class_names == classes
    assert len(made.train) + len(made.test) == 2 * len(names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["val/0.png", "cat/1.png"], "val/ is named like a split, but there is no train/ beside"),
        (["test/0.png", "1.png"], "test/ is named like a split, but there is no train/ beside"),
        (["val/0.png", "test/1.png"], "test/ is named like a split, but there is no train/"),
        (["train/a/0.png", "more/1.png"], "train/ is named like a split, but .* no held-out one"),
        (["train2014/0.png", "train2017/1.png", "val2017/2.png"], "train2014/ and train2017/"),
        (["train/0.png", "val/1.png", "valid/2.png"], "val/ and valid/ are both for validation"),
        (
            ["cat/train/0.png", "cat/test/1.png", "dog/train/2.png"],
            "cat holds the splits test/",
        ),
        (["a/0.png", "1.png"], r"sub-folders of .* name the classes, but 1\.png is in none"),
        (
            ["w/v/a/0.png", "w/v/1.png"],
            r"sub-folders of .* name the classes, but 1\.png is in none",
        ),
        (["train/0.png", "test/a/1.png"], r"name the classes, but 0\.png is in none"),
    ],
)
def test_what_leaves_open_which_images_are_held_out_is_refused(names, message, fill):
    with pytest.raises(ValueError, match=message) as caught:
        data(fill(*names))
    assert "\n" not in str(caught.value)


def test_three_splits_hold_out_test_or_what_is_asked_for(fill, capsys):
    folder = fill("train/0.png", "val/1.png", "test/2.png", "extra/3.png", "4.png")
    made = data(folder)
    assert (values(made.train), values(made.test)) == ([0], [2])
    said = capsys.readouterr().err
    assert (
        "left out ./ (1 images), extra/ (1 images), val/ (1 images); used train/ and test/" in said
    )
    made = data(folder, test_split="validation")
    assert (values(made.train), values(made.test)) == ([0], [1])


def test_a_split_that_is_not_there_is_refused(fill):
    folder = fill("train/0.png", "val/1.png")
    with pytest.raises(ValueError, match="test_split=test: .* it has validation"):
        data(folder, test_split="test")
    with pytest.raises(ValueError, match="test_split is test, validation or null, got 'val'"):
        data(folder, test_split="val")


@pytest.mark.parametrize("names", [["a/0.png", "a/1.png"], ["images/a/0.png", "images/a/1.png"]])
def test_one_folder_alone_wraps_the_set_and_is_no_class(names, fill):
    made = data(fill(*names))
    assert made.train.labels is None


@pytest.mark.parametrize(("folders", "classes"), [("xx", ()), ("ab", ("a", "b"))])
def test_one_folder_in_each_split_is_no_class_unless_they_differ(folders, classes, fill):
    made = data(fill(f"train/{folders[0]}/0.png", f"val/{folders[1]}/1.png"))
    assert made.class_names == classes


def test_accents_of_a_class_may_be_spelt_differently_in_each_split(fill):
    composed, decomposed = (unicodedata.normalize(form, "\u00e9") for form in ("NFC", "NFD"))
    made = data(fill(f"train/{composed}/0.png", "train/b/1.png", f"val/{decomposed}/2.png"))
    assert made.class_names == ("b", composed)
    assert made.test.labels.tolist() == [1]


def test_a_set_is_the_same_files_for_training_and_evaluation(fill):
    names = ["w/a/0.png", "w/b/1.JPG", "w/b/._1.png", "w/.ipynb_checkpoints/2.png", "w/a/x/3.png"]
    folder = fill(*names)
    made = data(folder)
    trained = [*values(made.train), *values(made.test)]
    assert sorted(trained) == sorted(values(open_images(folder, (3, 8, 8)))) == [0, 1, 4]
    assert values(open_images(folder, (3, 8, 8))) == [0, 4, 1]


def test_names_of_splits():
    for name in ("constrain", "latest", "devil", "evaluate", "contest", "trainings", "interval"):
        assert split_of(name) is None
    assert split_of("Validation").role == "validation"


def test_many_folders_are_no_burden(tmp_path):
    """The layout is found from each folder once, not from each pair of folders."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(3000):
            archive.writestr(f"set/{i % 50}/{i}/0.png", b"")
    files = unwrapped(open_files(tmp_path / "a.zip"))
    assert splits_of(files) == {} and len(files.folders) == 3000 and len(files.tree[""]) == 50
