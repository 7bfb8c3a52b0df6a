from __future__ import annotations

import io
import re
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from eval.source.dataset import from_dataset, order_of
from eval.source.stored import open_images
from zoo.data import ImageSet


def _png(size=(8, 8), value=7, mode="L"):
    buffer = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value,) * 3).save(buffer, "png")
    return buffer.getvalue()


def _every(images):
    return images.gather(range(len(images)))


def _write(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_png(**options))


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    for value in (3, 1, 2):
        _write(tmp_path / "deep" / f"{value}.png", value=value)
    (tmp_path / "notes.txt").write_text("no image")
    found = open_images(tmp_path, (1, 8, 8))
    assert (len(found), found.shape) == (3, (1, 8, 8))
    assert _every(found)[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert _every(open_images(tmp_path, (3, 8, 8))).shape == (3, 3, 8, 8)
    assert open_images(tmp_path).shape == (1, 8, 8)  # what the first image has


def test_a_zip_a_folder_an_npz_and_a_parquet_of_the_same_pixels_are_one_content(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    encoded = []
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "png")
        encoded.append(buffer.getvalue())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number, data in enumerate(encoded):
            archive.writestr(f"samples/{number}.png", data)
    (tmp_path / "folder").mkdir()
    for number, data in enumerate(encoded):
        (tmp_path / "folder" / f"{number}.png").write_bytes(data)
    np.savez(tmp_path / "a.npz", pixels)
    np.savez_compressed(tmp_path / "small.npz", pixels)
    parquet.write_table(pa.table({"image": encoded}), tmp_path / "a.parquet")
    names = ("a.zip", "folder", "a.npz", "small.npz", "a.parquet")
    sets = [open_images(tmp_path / name) for name in names]
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    for images in sets:
        assert torch.equal(_every(images), planes)
        assert torch.equal(images.gather(torch.tensor([4, 0])), planes[[4, 0]])
    assert {images.fingerprint for images in sets} == {ImageSet(planes).fingerprint}


def test_labels_and_captions_come_along(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"image": [_png(), _png()], "label": [1, 0], "text": ["one", "none"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    found = open_images(tmp_path / "a.parquet")
    assert (found.labels.tolist(), found.captions) == ([1, 0], ["one", "none"])
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    np.savez(tmp_path / "a.npz", images, np.array([5, 6]))
    (batch,) = from_dataset(open_images(tmp_path / "a.npz", (3, 4, 4)))
    assert torch.equal(batch.images, torch.from_numpy(images).permute(0, 3, 1, 2))
    assert batch.labels.tolist() == [5, 6]


def test_an_npz_is_not_read_before_its_use(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros((4, 4, 4, 3), np.uint8))
    found = open_images(tmp_path / "a.npz")
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[data.rfind(bytes(192)) : data.rfind(bytes(192)) + 192] = bytes([9]) * 192
    (tmp_path / "a.npz").write_bytes(data)
    assert (_every(found) == 9).any()


def test_a_changed_pixel_or_label_changes_the_fingerprint():
    images = torch.arange(64).byte().view(4, 1, 4, 4)
    changed = images.clone()
    changed[3, 0, 3, 3] ^= 1
    prints = [
        ImageSet(images).fingerprint,
        ImageSet(changed).fingerprint,
        ImageSet(images, torch.zeros(4).long()).fingerprint,
        ImageSet(images, None, ["a"] * 4).fingerprint,
    ]
    assert len(set(prints)) == 4
    assert ImageSet(images.clone()).fingerprint == prints[0]


def test_bad_sources_are_named(tmp_path):
    def refused(path, message, shape=(1, 8, 8)):
        with pytest.raises(ValueError, match=message) as caught:
            _every(open_images(path, shape))
        assert "\n" not in str(caught.value)

    refused(tmp_path / "absent", "absent: no such file or folder; expected a folder or a .zip")
    refused(tmp_path, "no images in ")
    (tmp_path / "a.txt").write_text("")
    refused(tmp_path / "a.txt", "not images; expected a folder")
    _write(tmp_path / "a.png")
    refused(tmp_path, re.escape("images are (1, 8, 8), the data are (1, 16, 16)"), (1, 16, 16))
    _write(tmp_path / "b.png", size=(9, 8))
    refused(tmp_path, r"b.png is 9x8, but .*a.png is 8x8: images must have one size")
    (tmp_path / "b.png").write_bytes(b"not a picture")
    refused(tmp_path, r"b.png: not a readable image")
    noise = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(noise, "png")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "a.png").write_bytes(noise.getvalue()[:2000])
    refused(tmp_path / "torn", "a.png: not a readable image", (1, 64, 64))
    (tmp_path / "c.zip").write_bytes(b"PK no zip")
    refused(tmp_path / "c.zip", "c.zip: not a readable zip")


def test_a_foreign_npz_or_parquet_is_named(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    def refused(name, message):
        with pytest.raises(ValueError, match=message):
            open_images(tmp_path / name, (1, 8, 8))

    np.savez(tmp_path / "c.npz", wrong=np.zeros(3))
    refused("c.npz", "no array 'arr_0'; it has wrong")
    np.savez(tmp_path / "s.npz", mu=np.zeros(3), sigma=np.eye(3))
    refused("s.npz", "statistics, not images: say reference=")
    np.savez(tmp_path / "d.npz", np.zeros((2, 8, 8, 1)))
    refused("d.npz", "'arr_0' is float64")
    np.savez(tmp_path / "e.npz", np.zeros((2, 8, 8, 1), np.uint8), np.zeros(3))
    refused("e.npz", "2 images, but 3 labels")
    (tmp_path / "f.npz").write_bytes(b"PK torn")
    refused("f.npz", "not a readable npz")
    parquet.write_table(pa.table({"picture": [_png()]}), tmp_path / "a.parquet")
    refused("a.parquet", "no column 'image'; it has picture")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 torn")
    refused("b.parquet", "cannot be read as parquet")


def test_images_sorted_by_class_are_mixed_and_others_are_not(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        _write(tmp_path / name)
    mixed = order_of(open_images(tmp_path))
    assert sorted(mixed.tolist()) == [0, 1, 2]
    assert order_of(open_images(tmp_path / "a")).tolist() == [0, 1]
    images = torch.zeros(40, 1, 4, 4).byte()
    by_class, in_turn = torch.arange(40) // 20, torch.arange(40) % 2
    assert order_of(ImageSet(images, in_turn)).tolist() == list(range(40))
    order = order_of(ImageSet(images, by_class))
    assert 5 < by_class[order[:20]].sum() < 15
    (batch,) = from_dataset(ImageSet(images, by_class), 64, order)
    assert torch.equal(batch.labels, by_class[order])


def test_colour_is_not_dropped_where_grey_images_are_compared(tmp_path):
    _write(tmp_path / "a.png", mode="RGB")
    assert _every(open_images(tmp_path, (1, 8, 8)))[0, 0].unique().tolist() == [7]  # grey as RGB
    Image.new("RGB", (8, 8), (7, 8, 7)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"b.png is in colour, but is compared with grey images"):
        _every(open_images(tmp_path, (1, 8, 8)))


@pytest.mark.parametrize("place", ["folder", "a.zip"])
def test_metadata_say_which_images_count_and_what_they_show(place, tmp_path, capsys):
    files = {f"set/{value}.png": _png(value=value) for value in range(4)}
    files["set/metadata.csv"] = b"file_name,label,text\n2.png,1.0,two\n0.png,0.0,none\n2.png,1,2\n"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
            (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "folder" / name).write_bytes(content)
    images = open_images(tmp_path / place)
    assert _every(images)[:, 0, 0, 0].tolist() == [2, 0]
    assert (images.labels.tolist(), images.captions) == ([1, 0], ["two", "none"])
    assert "left out 2 images that it does not list (1.png, 3.png)" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_labels_that_are_words_are_left_out_and_said(kind, tmp_path, capsys):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / f"set.{kind}"
    if kind == "parquet":
        parquet.write_table(pa.table({"image": [_png()] * 2, "label": ["b", "a"]}), path)
    else:
        for name in ("0.png", "1.png"):
            _write(path / name)
        (path / "metadata.csv").write_text("file_name,label\n0.png,b\n1.png,a\n")
    images = open_images(path)
    assert images.labels is None and images.grouped
    assert "left out labels that are words" in capsys.readouterr().err


def test_a_missing_caption_is_named(tmp_path):
    _write(tmp_path / "0.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "0.png", "caption": null}')
    with pytest.raises(ValueError, match=r"metadata\.jsonl, line 1: column 'caption' is empty"):
        open_images(tmp_path)


def test_splits_of_a_zip_are_refused_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("top/Train/0.png", "top/val/0.png"):
            archive.writestr(name, _png())
    with pytest.raises(ValueError, match=r"holds the splits Train/, val/: .* the folder unpacked"):
        open_images(tmp_path / "a.zip")


def test_an_npz_may_have_captions(tmp_path):
    planes = np.zeros((2, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "a.npz", arr_0=planes, captions=np.array(["a", "ß"]))
    assert open_images(tmp_path / "a.npz").captions == ["a", "ß"]
    np.savez(tmp_path / "b.npz", arr_0=planes, captions=np.array(["a"]))
    with pytest.raises(ValueError, match="2 images, but 1 captions"):
        open_images(tmp_path / "b.npz")


@pytest.mark.parametrize("most_bytes", [0, 10**9])
def test_files_that_fit_are_read_once_and_the_images_are_the_same(
    tmp_path, monkeypatch, most_bytes
):
    monkeypatch.setattr("eval.source.decoders._MOST_BYTES", most_bytes)
    for name, mode in (("a", "L"), ("b", "RGB"), ("c", "RGBA")):
        Image.new(mode, (4, 3), (90, 60, 30, 200)[: len(mode)] if mode != "L" else 90).save(
            tmp_path / f"{name}.png"
        )
    images = open_images(tmp_path)
    if most_bytes:
        for file in tmp_path.iterdir():
            file.unlink()
    white = [round((value * 200 + 255 * 55) / 255) for value in (90, 60, 30)]
    assert _every(images)[:, :, 0, 0].tolist() == [[90] * 3, [90, 60, 30], white]
    assert images.in_memory == bool(most_bytes)
    assert images.fingerprint == ImageSet(_every(images)).fingerprint


def test_an_image_that_is_replaced_meanwhile_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("eval.source.decoders._MOST_BYTES", 0)  # read again whenever it is used
    _write(tmp_path / "a.png")
    images = open_images(tmp_path)
    _write(tmp_path / "a.png", size=(9, 8))
    with pytest.raises(ValueError, match=r"a.png is 9x8, but its header said 8x8"):
        _every(images)
