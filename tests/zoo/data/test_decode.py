"""Broken images, sets on demand and the cache, whatever source the rows came from."""

from __future__ import annotations

import io
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data import decode, decode_cache
from zoo.data.decode import ImageDecoder
from zoo.data.rows import Rows, classes, split
from zoo.data.stream import TrainStream

NAMES = ("a", "b")


@pytest.fixture
def rows(png):
    return make([png(value) for value in range(10)])


def make(encoded):
    return Rows(
        count=len(encoded),
        read=lambda index: encoded[index],
        where=lambda index: f"row {index}",
        labels=[index % 2 for index in range(len(encoded))],
        captions=[f"image {index}" for index in range(len(encoded))],
    )


@pytest.fixture(params=["truncated", "garbage", "empty", "truncated jpeg"])
def broken(request, png):
    encoded = [png(value) for value in range(10)]
    jpeg = png(3, (64, 64), "JPEG")
    encoded[3] = {
        "truncated": png(3, (64, 64))[:-40],
        "garbage": b"no image at all",
        "empty": b"",
        "truncated jpeg": jpeg[: len(jpeg) // 2],
    }[request.param]
    return make(encoded)


@pytest.mark.parametrize("memory_limit_gb", [4.0, 0.0])
def test_stop_names_the_broken_image(broken, memory_limit_gb):
    decoder = ImageDecoder(8, 3, "stop", memory_limit_gb)
    with pytest.raises(ValueError, match="broken image, row 3: "):
        decoder.image_set(broken, NAMES, "made/train").gather(range(10))


@pytest.mark.parametrize("memory_limit_gb", [4.0, 0.0])
def test_skip_leaves_it_out_and_counts(broken, memory_limit_gb):
    decoder = ImageDecoder(8, 3, "skip", memory_limit_gb)
    with pytest.warns(UserWarning, match=r"made/train: skipped 1 of 10 images, .* row 3: "):
        images = decoder.image_set(broken, NAMES, "made/train")
    kept = [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert (len(images), images.num_skipped) == (9, 1)
    assert images.gather(range(9))[:, 0, 0, 0].tolist() == kept
    assert images.labels.tolist() == [index % 2 for index in kept]
    assert images.captions == [f"image {index}" for index in kept]


def test_nothing_left():
    with pytest.raises(ValueError, match="2 of 2 images are broken, none is left"):
        ImageDecoder(8, 3, "skip").image_set(make([b"x", b"y"]), NAMES, "made/train")


def test_unknown_policy():
    with pytest.raises(ValueError, match="stop, skip, got 'ignore'"):
        ImageDecoder(8, 3, "ignore")


def test_on_demand_is_the_same_set(rows):
    held = ImageDecoder(8, 3).image_set(rows, NAMES, "made/train")
    demanded = ImageDecoder(8, 3, memory_limit_gb=0).image_set(rows, NAMES, "made/train")
    assert held.in_memory
    assert not demanded.in_memory
    assert demanded.fingerprint == held.fingerprint
    assert (len(demanded), demanded.shape) == (len(held), held.shape)
    with pytest.raises(ValueError, match=r"use gather\(indices\), or raise data.memory_limit_gb"):
        _ = demanded.images
    streams = [TrainStream(images, "caption", 4, 0, True) for images in (held, demanded)]
    for one, other in islice(zip(*streams, strict=False), 6):
        assert torch.equal(one.images, other.images)
        assert one.condition == other.condition


def test_the_limit_is_in_decoded_bytes(rows):
    size = 10 * 3 * 8 * 8 / 1e9
    assert ImageDecoder(8, 3, memory_limit_gb=size).image_set(rows, NAMES, "x").in_memory
    assert not ImageDecoder(8, 3, memory_limit_gb=size * 0.99).image_set(rows, NAMES, "x").in_memory


def test_slow_decoding_is_kept_for_the_next_run(rows, monkeypatch):
    ImageDecoder(8, 3).image_set(rows, NAMES, "x")
    assert decode_cache.find(decode_cache.content_key(rows, 8, 3)) is None  # it was quick
    monkeypatch.setattr(decode, "_WORTH_KEEPING", -1.0)
    first = ImageDecoder(8, 3).image_set(rows, NAMES, "x")
    monkeypatch.setattr(ImageDecoder, "decode", None)
    again = ImageDecoder(8, 3).image_set(rows, NAMES, "x")
    assert again.fingerprint == first.fingerprint
    with pytest.raises(TypeError):
        ImageDecoder(4, 3).image_set(rows, NAMES, "x")  # another size is another entry


def test_another_rule_of_decoding_is_another_entry(rows, monkeypatch):
    before = decode_cache.content_key(rows, 8, 3)
    assert decode_cache.content_key(rows, 8, 3) == before
    monkeypatch.setattr(decode_cache, "DECODING", "v2")
    assert decode_cache.content_key(rows, 8, 3) != before


def test_what_has_no_known_range_is_skipped_by_name(rows):
    file = io.BytesIO()
    Image.fromarray(np.ones((8, 8), np.float32)).save(file, "TIFF")
    mixed = make([rows.read(0), file.getvalue()])
    with pytest.raises(ValueError, match="^row 1: a TIFF of mode F has floats"):
        ImageDecoder(8, 3).image_set(mixed, NAMES, "x")
    with pytest.warns(UserWarning, match=r"x: skipped 1 of 2 images, the first: row 1: .* mode F"):
        assert len(ImageDecoder(8, 3, "skip").image_set(mixed, NAMES, "x")) == 1


def test_cache_follows_the_content_and_survives_damage(rows, png, monkeypatch, tmp_path):
    monkeypatch.setattr(decode, "_WORTH_KEEPING", -1.0)
    first = ImageDecoder(8, 3).image_set(rows, NAMES, "x")
    changed = ImageDecoder(8, 3).image_set(make([png(9 - v) for v in range(10)]), NAMES, "x")
    assert changed.images[0, 0, 0, 0] == 9
    kept = list((tmp_path / "cache" / "decoded").iterdir())
    assert len(kept) == 2
    for file in kept:
        file.write_bytes(file.read_bytes()[:-100])
    assert ImageDecoder(8, 3).image_set(rows, NAMES, "x").fingerprint == first.fingerprint


def test_a_cache_that_cannot_be_written_costs_nothing(rows, monkeypatch, tmp_path):
    monkeypatch.setattr(decode, "_WORTH_KEEPING", -1.0)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    assert len(ImageDecoder(8, 3).image_set(rows, NAMES, "x")) == 10


def test_split_gives_every_class_its_share():
    rows = make([b""] * 100)
    train, test = split(rows, 0.2, seed=0)
    assert (len(train), len(test)) == (80, 20)
    assert sum(test.labels) == 10
    numbers = [int(text.split()[1]) for text in [*train.captions, *test.captions]]
    assert sorted(numbers) == list(range(100))
    assert [int(text.split()[1]) % 2 for text in test.captions] == test.labels
    assert split(rows, 0.2, seed=0)[1].captions == test.captions
    assert split(rows, 0.2, seed=1)[1].captions != test.captions
    with pytest.raises(ValueError, match="leaves 0 to test"):
        split(make([b""] * 4), 0.1, 0)


def test_classes():
    assert classes([2, 0], ()) == ("0", "1", "2")
    assert classes(["dog", "cat", "dog"], ()) == ("cat", "dog")
    assert classes(["dog"], ("dog", "cat")) == ("dog", "cat")
    assert classes([1], ("dog", "cat")) == ("dog", "cat")
    for values, names, message in [
        ([0, "cat"], (), "all words or all integers"),
        ([-1], (), "integers from 0, got -1"),
        ([0.5], (), "got 0.5"),
        (["cow"], ("dog", "cat"), "'cow' is unknown; known are dog, cat"),
        ([2], ("dog", "cat"), "label 2 has no name"),
    ]:
        with pytest.raises(ValueError, match=message):
            classes(values, names)
