"""Where samples go: which names are taken, which formats hold what, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.source.listing import open_files
from zoo.samples.output import check_size, rows_of, write
from zoo.samples.place import PICTURES, Place, place_of
from zoo.system.files import replacing
from zoo.system.picture import SUFFIXES, image_grid

IMAGES = torch.arange(5 * 3 * 4 * 4).remainder(251).byte().view(5, 3, 4, 4)
ROWS = rows_of(7, 5, torch.tensor([3, 1, 4, 1, 5]), None)


@pytest.mark.parametrize("suffix", [*PICTURES, ".PNG", ".JPG"])
def test_a_grid_is_of_the_kind_that_its_name_says(tmp_path: Path, suffix: str) -> None:
    path = write(place_of(f"{tmp_path}/deep/a{suffix}"), IMAGES, {"a": 1}, ROWS)
    assert path == tmp_path / "deep" / f"a{suffix}"
    with Image.open(path) as picture:
        kind = {".png": "PNG", ".webp": "WEBP"}.get(suffix.lower(), "JPEG")
        assert picture.format == kind
        shown = torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)
    expected = image_grid(IMAGES)
    assert shown.shape == expected.shape
    limit = 60 if kind == "JPEG" else 0  # lossless but for JPEG, of which this is a hard case
    assert (shown.int() - expected.int()).abs().max() <= limit
    assert json.loads((tmp_path / "deep" / f"a{suffix}.json").read_text())["a"] == 1
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        (None, ["arr_0"]),
        (torch.tensor([3, 1, 4, 1, 5]), ["arr_0", "arr_1"]),
        (["a", "bb", "ß", "", "e, f"], ["arr_0", "captions"]),
    ],
)
def test_an_npz_keeps_labels_and_captions_without_a_pickle(
    tmp_path: Path, condition: torch.Tensor | list[str] | None, names: list[str]
) -> None:
    path = write(place_of(f"{tmp_path}/a.npz"), IMAGES, {}, rows_of(7, 5, condition, None))
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays.files == names
        assert np.array_equal(arrays["arr_0"], IMAGES.permute(0, 2, 3, 1))
        if condition is not None:
            kept = arrays[names[1]]
            assert kept.tolist() == list(condition)
            assert kept.dtype.kind == ("U" if isinstance(condition, list) else "i")


def test_a_grid_has_the_suffixes_of_pictures() -> None:
    assert PICTURES == SUFFIXES


@pytest.mark.parametrize("name", ["a", "a/", "v1.5/"])
def test_a_folder_is_a_data_set_with_its_table(tmp_path: Path, name: str) -> None:
    texts = ["a", 'say "b"', "c, d", "ß", "e"]
    place = place_of(f"{tmp_path}/{name}")
    path = write(place, IMAGES, {"seed": 7}, rows_of(7, 5, texts, torch.tensor([0, 1, 2, 3, 4])))
    assert path.name == name.strip("/")
    with (path / "metadata.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == texts
    assert [row["negative"] for row in rows] == list("01234")
    assert [row["file_name"] for row in rows] == [f"{i:06}.png" for i in range(5)]
    for row, image in zip(rows, IMAGES, strict=True):
        with Image.open(path / row["file_name"]) as picture:
            assert np.array_equal(np.asarray(picture), image.permute(1, 2, 0))
    listed = json.loads((path / "samples.json").read_text(encoding="utf-8"))["images"]
    assert listed[3] == {"index": 3, "seed": 7, "text": "ß", "negative": 3}


def test_a_folder_of_samples_is_read_without_a_word_on_its_own_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(place_of(f"{tmp_path}/a"), IMAGES, {"seed": 7}, ROWS)
    assert len(open_files(path).images) == 5
    assert capsys.readouterr().err == ""
    (path / "other.json").touch()
    open_files(path)
    assert "files that are no images: 1 .json" in capsys.readouterr().err


def test_captions_that_are_all_empty_make_no_column(tmp_path: Path) -> None:
    path = write(place_of(f"{tmp_path}/a"), IMAGES, {}, rows_of(0, 5, [""] * 5, None))
    assert (path / "metadata.csv").read_text().splitlines()[0] == "file_name,index,seed"


@pytest.mark.parametrize("name", ["a.gif", "a.txt", "a.safetensors", "a.npy", "a.tiff", "v1.5"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"files are \.png, .*\.webp \(a grid\) or \.npz"):
        place_of(f"{tmp_path}/{name}")


@pytest.mark.parametrize("taken", ["a.png", "a.png.json", "b.npz", "b.npz.json", "c/x", "d"])
def test_nothing_that_is_there_is_written_over(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("mine")
    out = f"{tmp_path}/{taken.removesuffix('.json').removesuffix('/x')}"
    with pytest.raises(ValueError, match="is there already, and nothing is overwritten"):
        place_of(out)
    path = Path(out)
    free = Place(path, is_folder=not path.suffix).next_free()
    assert free.path.name == f"{path.stem}-2{path.suffix}"
    # taken while the images were drawn: they are neither lost nor written over it
    assert write(Place(path, not path.suffix), IMAGES, {}, ROWS) == free.path
    assert Place(path, not path.suffix).next_free().path.name == f"{path.stem}-3{path.suffix}"
    assert (tmp_path / taken).read_text() == "mine"


def test_files_of_one_stem_do_not_share_a_sidecar(tmp_path: Path) -> None:
    for suffix in (".png", ".npz", ".jpg"):
        write(place_of(f"{tmp_path}/a{suffix}"), IMAGES, {}, ROWS)
    assert len(list(tmp_path.iterdir())) == 6


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert write(place_of(f"{tmp_path}/a"), IMAGES, {}, ROWS) == tmp_path / "a"
    assert len(list((tmp_path / "a").iterdir())) == 7


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file is a file, not a folder"):
        place_of(f"{tmp_path}/file/a.png")


@pytest.mark.parametrize(
    ("name", "columns", "height", "fits"),
    [
        ("a.jpg", 1, 65_500 - 2, True),
        ("a.jpg", 1, 65_500 - 1, False),
        ("a.webp", 1, 16_383 - 2, True),
        ("a.webp", 1, 16_383 - 1, False),
        ("a.png", 1, 70_000, True),
        ("a.npz", 1, 70_000, True),
        ("a", 1, 70_000, True),
    ],
)
def test_pictures_that_a_format_cannot_hold_are_refused(
    tmp_path: Path, name: str, columns: int, height: int, fits: bool
) -> None:
    place = place_of(f"{tmp_path}/{name}", columns)
    if not fits:
        with pytest.raises(ValueError, match="a side of a .* has at most"):
            check_size(place, 1, (3, height, 1))
        return
    check_size(place, 1, (3, height, 1))
    image = torch.zeros(1, 3, height, 1, dtype=torch.uint8)
    assert write(place, image, {}, rows_of(0, 1, None, None)).exists()


@pytest.mark.parametrize("name", ["a.png", "a.npz", "a"])
def test_an_interruption_leaves_nothing_half_written(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.samples.output.encoded", interrupted)
    monkeypatch.setattr("zoo.samples.output.np.savez", interrupted)
    monkeypatch.setattr("zoo.samples.output._metadata", interrupted)
    place = place_of(f"{tmp_path}/{name}")
    with pytest.raises(KeyboardInterrupt):
        write(place, IMAGES, {}, ROWS)
    assert not place.path.exists()
    assert [p.name for p in tmp_path.iterdir()] in ([], [f"{name}.json"])
    with replacing(tmp_path / "other"):
        pass
