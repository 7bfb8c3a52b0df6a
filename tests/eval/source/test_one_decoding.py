"""One file through every route of training and evaluation: the same pixels, or refused in all."""

from __future__ import annotations

import importlib.util
import io
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from eval.source.batch import Images
from eval.source.export import exported
from eval.source.stored import open_images
from zoo.data import Folder, Parquet, WebDataset
from zoo.data.picture import header, picture

_spec = importlib.util.spec_from_file_location(
    "kinds_of_files", Path(__file__).with_name("kinds_of_files.py")
)
assert _spec is not None and _spec.loader is not None
files = importlib.util.module_from_spec(_spec)
sys.modules["kinds_of_files"] = files
_spec.loader.exec_module(files)

DEEP, GREY, RGB, KINDS = files.DEEP, files.GREY, files.RGB, files.KINDS
ACCEPTED = [name for name, kind in KINDS.items() if kind.pixels is not None]
REFUSED = [name for name, kind in KINDS.items() if kind.pixels is None]


def folder(path, data):
    path.mkdir(parents=True)
    (path / "x.png").write_bytes(data)  # Pillow goes by the content
    return path


def archive(path, data):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.png", data)
    return path


def table(path, data):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"image": [data]}), path)
    return path


def of_folder(tmp_path, data, **options):
    for split in ("train", "test"):
        folder(tmp_path / "set" / split, data)
    return Folder(str(tmp_path / "set"), name="x", image_size=8, condition="none", **options)


def of_parquet(tmp_path, data, **options):
    file = str(table(tmp_path / "set.parquet", data))
    return Parquet(file, file, name="x", image_size=8, condition="none", **options)


def trained_on(source):
    """All images of a data set's training split."""

    def read(tmp_path, data, **options):
        made = source(tmp_path, data, **options)
        made.setup()
        return made.train.gather([0])[0]

    return read


def evaluated(write, name):
    def read(tmp_path, data, shape=None):
        return open_images(write(tmp_path / name, data), shape).gather([0])[0]

    return read


ROUTES = {
    "training, folder": trained_on(of_folder),
    "training, parquet": trained_on(of_parquet),
    "training, on demand": lambda *args: trained_on(of_folder)(*args, memory_limit_gb=0.0),
    "folder": evaluated(folder, "folder"),
    "zip": evaluated(archive, "a.zip"),
    "parquet": evaluated(table, "a.parquet"),
}


def planes(pixels):
    """(8, 8) or (8, 8, 3) as (3, 8, 8)."""
    array = np.broadcast_to(np.atleast_3d(pixels), (8, 8, 3)).astype(np.int64)
    return torch.from_numpy(array).permute(2, 0, 1)


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_route_gives_the_same_pixels(tmp_path, name):
    kind = KINDS[name]
    images = {}
    for number, (route, read) in enumerate(ROUTES.items()):
        (tmp_path / str(number)).mkdir()
        images[route] = read(tmp_path / str(number), kind.data)
    assert {len(images[route]) for route in ("folder", "zip", "parquet")} == {kind.channels}
    first = images["training, folder"]
    for route, image in images.items():
        assert image.dtype == torch.uint8, route
        assert torch.equal(image.expand(3, -1, -1), first), route
    assert (first.long() - planes(kind.pixels)).abs().max() <= kind.within


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", REFUSED)
def test_every_route_refuses_in_one_line_with_the_name(tmp_path, name, route):
    with pytest.raises(ValueError, match=KINDS[name].refusal) as caught:
        ROUTES[route](tmp_path, KINDS[name].data)
    message = str(caught.value)
    assert re.search(r"x\.png|parquet, row 0", message)
    assert "\n" not in message and "BytesIO" not in message


def test_a_tar_gives_the_same_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "library")
    datasets.disable_progress_bars()
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for number, name in enumerate(["rgb png", *ACCEPTED, *REFUSED]):
            info = tarfile.TarInfo(f"{number:04}.png")
            info.size = len(KINDS[name].data)
            tar.addfile(info, io.BytesIO(KINDS[name].data))
    made = WebDataset(str(tmp_path / "all.tar"), name="x", image_size=8)
    rows, _ = made.rows()
    for number, name in enumerate(ACCEPTED, start=1):
        image = made.decoder.decode(rows, number)
        (tmp_path / str(number)).mkdir()
        same = evaluated(folder, "f")(tmp_path / str(number), KINDS[name].data)
        assert torch.equal(image, same.expand(3, -1, -1)), name
    for number, name in enumerate(REFUSED, start=1 + len(ACCEPTED)):
        with pytest.raises(ValueError, match=KINDS[name].refusal):
            made.decoder.decode(rows, number)


def test_what_is_kept_is_read_back_as_it_was_decoded(tmp_path):
    names = [name for name in ACCEPTED if KINDS[name].channels == 3]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for number, name in enumerate(names):
            file.writestr(f"{number:03}.png", KINDS[name].data)
    images = open_images(tmp_path / "a.zip")
    batch = Images(images.gather(range(len(names))))
    for kept in ("folder", "kept.npz"):
        for _ in exported(iter([batch]), tmp_path / kept, len(names)):
            pass
        assert open_images(tmp_path / kept).fingerprint == images.fingerprint


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_header_says_what_decoding_gives(name):
    image = picture(KINDS[name].data)
    assert header(KINDS[name].data) == (image.size, len(image.getbands()))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "MPO"])
def test_sizes_are_compared_upright(tmp_path, kind):
    wide = RGB[:4]
    for number, orientation in enumerate((5, 6, 7, 8)):
        data = files.save(wide, kind, exif=files.oriented(orientation))
        (tmp_path / f"{number}.png").write_bytes(data)
    (tmp_path / "upright.png").write_bytes(files.save(RGB[:, :4]))
    assert open_images(tmp_path, (3, 8, 4)).gather(range(5)).shape == (5, 3, 8, 4)
    (tmp_path / "wide.png").write_bytes(files.save(wide, kind))
    with pytest.raises(ValueError, match=r"wide\.png is 8x4, but .*0\.png is 4x8"):
        open_images(tmp_path)


@pytest.mark.parametrize("first", ["grey", "colour"])
def test_one_file_in_colour_gives_every_image_three_channels(tmp_path, first):
    grey, colour = sorted(("a.png", "b.png"), reverse=first == "colour")
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / grey).write_bytes(files.save(GREY))
        (tmp_path / split / colour).write_bytes(files.save(RGB))
    images = open_images(tmp_path / "train")
    data = Folder(str(tmp_path), name="x", image_size=8, condition="none")
    data.setup()
    assert images.shape == data.train.shape == (3, 8, 8)
    assert images.fingerprint == data.train.fingerprint
    assert torch.equal(images.gather([int(grey == "b.png")])[0].long(), planes(GREY))
    declared = Folder(str(tmp_path), name="x", image_size=8, channels=1, condition="none")
    declared.setup()
    assert declared.train.shape == (1, 8, 8)


TWICE = np.stack([GREY, GREY], axis=-1)
ARRAYS = {
    "grey": (GREY[None, ..., None], GREY),
    "rgb": (RGB[None], RGB),
    "sixteen bits": (DEEP[None], DEEP >> 8),
    "sixteen bits, big-endian": (DEEP[None].astype(">u2"), DEEP >> 8),
    "bool": (GREY[None, ..., None] > 99, (GREY > 99) * 255),
    "grey with alpha": (TWICE[None], picture(files.png(TWICE, 8, 4))),
    "rgba": (np.dstack([RGB, GREY])[None], picture(files.save(np.dstack([RGB, GREY])))),
}


@pytest.mark.parametrize("shape", [None, (3, 8, 8)])
@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_is_what_a_file_of_it_is(tmp_path, name, shape):
    array, expected = ARRAYS[name]
    np.savez(tmp_path / "a.npz", array, np.array([4]))
    images = open_images(tmp_path / "a.npz", shape)
    assert images.labels.tolist() == [4]
    assert images.shape[0] == (3 if shape or array.shape[-1] > 2 else 1)
    assert torch.equal(images.gather([0])[0].expand(3, -1, -1).long(), planes(np.array(expected)))
    if name == "rgb":
        with pytest.raises(ValueError, match=r"a.npz: 'arr_0'\[0\] is in colour"):
            open_images(tmp_path / "a.npz", (1, 8, 8)).gather([0])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (RGB[None] / np.float32(255), "float32 .*floats have no known range: .* save uint8"),
        (RGB[None] / 255, "float64"),
        (RGB[None].astype(np.float16), "float16"),
        (RGB[None].astype(np.int64), "int64 .*its range is not known"),
        (RGB[None].astype(np.int8), "int8"),
        (RGB[None].astype(np.uint32), "uint32"),
        (np.array([["text"]])[None, None], "<U4"),
        (RGB[None].transpose(0, 3, 1, 2), r"channels come last: transpose\(0, 2, 3, 1\)"),
        (RGB, r"\(8, 8, 3\): not \(N, H, W, C\)"),
        (np.zeros((2, 8, 8, 5), np.uint8), r"not \(N, H, W, C\)"),
        (np.zeros((), np.uint8), r"not \(N, H, W, C\)"),
        (np.zeros((2, 0, 8, 3), np.uint8), "no images"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no images"),
    ],
)
def test_arrays_of_no_known_range_or_layout_are_refused(tmp_path, array, message):
    np.savez(tmp_path / "a.npz", array)
    with pytest.raises(ValueError, match=r"a\.npz: 'arr_0' is .*" + message) as caught:
        open_images(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(1, 1), (2000, 1), (1, 2000)])
def test_single_pixels_and_long_lines(tmp_path, size):
    data = files.save(Image.new("RGB", size, (9, 8, 7)))
    image = trained_on(of_folder)(tmp_path, data)
    assert image.flatten(1).T.unique(dim=0).tolist() == [[9, 8, 7]]
    assert evaluated(folder, "f")(tmp_path, data).shape == (3, *size[::-1])


@pytest.mark.parametrize("route", ROUTES)
def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch, route):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 31)
    with pytest.raises(ValueError, match=r"broken image, .*exceeds limit of 62 pixels"):
        ROUTES[route](tmp_path, KINDS["rgb png"].data)
