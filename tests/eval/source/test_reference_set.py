"""References that are no data set: images, statistics, another split."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from eval.measure import Setting, evaluate
from eval.measure.cache import Cache
from eval.metric import (
    FrechetDistance,
    KernelDistance,
    NearestImage,
    PrecisionRecall,
    frechet_distance,
)
from eval.moments.feature_statistics import FeatureStatistics
from eval.moments.file import StatisticsFile
from eval.source.reference_set import ReferenceSet, reference_set
from eval.study.statistics import measure_moments
from zoo.data import Digits, ImageSet
from zoo.data.picture import DECODING


class Projection:
    """A fixed random projection of 8x8 images."""

    resize = "none"

    def __init__(self, name="small", dim=4, sha256="00" * 32):
        self.name, self.sha256, self.seen = name, sha256, 0
        generator = torch.Generator().manual_seed(dim)
        self.weight = torch.randn(64, dim, generator=generator, dtype=torch.float64)

    def __call__(self, images):
        self.seen += len(images)
        return {"pool": (images.flatten(1).double() / 255) @ self.weight}


METRICS = (FrechetDistance, NearestImage)


def _measured(images, data, extractor, metrics=METRICS, cache=None, name="made"):
    return evaluate(Setting(images, data, metrics, [extractor], name=name), cache=cache)


def _images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 1, 8, 8), generator=generator).byte()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "real").mkdir()
    for number, image in enumerate(_images(30, 0)):
        Image.fromarray(image[0].numpy()).save(tmp_path / "real" / f"{number:02d}.png")
    return tmp_path / "real"


def test_a_folder_is_a_reference(folder):
    extractor, images = Projection(), ImageSet(_images(24, 1))
    found = _measured(images, reference_set(str(folder)), extractor, [*METRICS, PrecisionRecall])
    result, real = found.result, extractor(_images(30, 0))["pool"]
    expected = frechet_distance(
        FeatureStatistics(extractor(_images(24, 1))["pool"]), FeatureStatistics(real)
    )
    value = result.values["fid_small_24"]
    assert value.value == pytest.approx(expected, rel=1e-9)
    assert value.floor is None
    assert {"precision_small", "recall_small", "nearest_training_image"} <= set(result.values)
    protocol = result.protocol
    assert (protocol.data, protocol.reference, protocol.num_reference) == ("real", "real", 30)
    assert (protocol.held_out, protocol.num_held_out) == ("none", 0)
    assert found.pairs.shape == (8, 2, 1, 8, 8)


def test_relative_paths_are_searched_here_then_under_the_data_root(folder, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="^real: no such file or folder"):
        reference_set("real")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    expected = reference_set(str(folder), str(folder)).fingerprint
    assert reference_set("real", "real").fingerprint == expected
    with pytest.raises(ValueError, match="^absent: no such file or folder"):
        reference_set("absent")
    (tmp_path / "elsewhere" / "real").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "elsewhere" / "real" / "0.png")
    assert (len(reference_set("real").train), len(reference_set(str(folder)).train)) == (1, 30)


def test_held_out_images_give_a_floor(folder, tmp_path):
    np.savez(tmp_path / "more.npz", _images(20, 3).permute(0, 2, 3, 1).numpy())
    images, extractor = ImageSet(_images(24, 1)), Projection()
    found = _measured(images, reference_set(str(folder), str(tmp_path / "more.npz")), extractor)
    value = found.result.values["fid_small_20"]
    expected = frechet_distance(
        FeatureStatistics(extractor(_images(20, 3))["pool"]),
        FeatureStatistics(extractor(_images(30, 0))["pool"]),
    )
    assert value.floor == pytest.approx(expected, rel=1e-9)
    assert found.result.protocol.held_out == "more.npz"


def test_a_statistics_file_gives_the_number_of_its_images(folder, tmp_path):
    extractor, images = Projection(), ImageSet(_images(24, 1))
    file = measure_moments(tmp_path / "a.npz", reference_set(str(folder)).train, extractor, "real")
    from_images = _measured(images, reference_set(str(folder)), extractor).result
    metrics = [*METRICS, KernelDistance]
    found = _measured(images, reference_set(str(file)), extractor, metrics).result
    value = found.values["fid_small_24"]
    assert value.value == pytest.approx(from_images.values["fid_small_24"].value, rel=1e-9)
    assert "kid_small" not in found.values
    assert "holds moments" in found.absent["kid_small"]
    assert "nearest_training_image" not in found.values
    assert found.protocol.num_reference == 30
    with np.load(file) as arrays:  # as pytorch-fid, clean-fid and EDM read it
        assert arrays["mu"].shape == (4,)
        assert arrays["sigma"].shape == (4, 4)
        facts = json.loads(str(arrays["facts"]))
    assert facts["images"]["count"] == 30
    assert facts["extractor"]["name"] == "small"


def test_a_result_names_the_decoding_of_images_and_reference(folder, tmp_path):
    images, extractor = ImageSet(_images(24, 1)), Projection()
    reference = reference_set(str(folder))
    protocol = _measured(images, reference, extractor).result.protocol
    assert protocol.decoding == DECODING
    for rule in ("EXIF orientation applied", "transparency on white", "8 bits"):
        assert rule in protocol.decoding
    own = measure_moments(tmp_path / "own.npz", reference.train, extractor, "real")
    assert reference_set(str(own)).decoding == DECODING
    with np.load(own) as arrays:
        moments = {name: arrays[name] for name in arrays.files}
    facts = json.loads(str(moments.pop("facts")))
    np.savez(tmp_path / "foreign.npz", **moments)
    facts["images"]["decoding"] = "v0: another"
    np.savez(tmp_path / "other.npz", facts=np.array(json.dumps(facts)), **moments)
    for name, recorded in (("foreign", "not recorded"), ("other", "v0: another")):
        there = reference_set(str(tmp_path / f"{name}.npz"))
        assert there.decoding == f"{DECODING}; of the reference's moments: {recorded}"


def test_statistics_of_another_network_or_size_are_refused(folder, tmp_path):
    images = ImageSet(_images(24, 1))
    file = measure_moments(
        tmp_path / "a.npz", reference_set(str(folder)).train, Projection(), "real"
    )
    other = Projection(sha256="11" * 32)
    with pytest.raises(ValueError, match=r"features of another network: sha256 000.* place of 111"):
        _measured(images, reference_set(str(file)), other)
    np.savez(tmp_path / "foreign.npz", mu=np.zeros(7), sigma=np.eye(7))
    with pytest.raises(ValueError, match=r"foreign.npz holds features of 7 dimensions, small giv"):
        _measured(images, reference_set(str(tmp_path / "foreign.npz")), Projection())
    np.savez(tmp_path / "odd.npz", mean=np.zeros(7))
    with pytest.raises(ValueError, match=r"odd.npz: needs arrays mu and sigma, has mean"):
        StatisticsFile(tmp_path / "odd.npz")


def test_statistics_without_a_count_say_so(tmp_path):
    extractor = Projection()
    real = FeatureStatistics(extractor(_images(30, 0))["pool"])
    np.savez(tmp_path / "a.npz", mu=real.mean.numpy(), sigma=real.covariance.numpy())
    images = ImageSet(_images(24, 1))
    found = _measured(images, reference_set(str(tmp_path / "a.npz")), extractor).result
    expected = frechet_distance(FeatureStatistics(extractor(_images(24, 1))["pool"]), real)
    assert found.values["fid_small_24"].value == pytest.approx(expected, rel=1e-9)
    assert found.protocol.num_reference is None


def test_the_other_split_is_a_reference():
    data = Digits("digits", image_size=8, condition="none")
    data.setup()
    as_it_is = ReferenceSet.of(data)
    assert as_it_is.fingerprint == data.fingerprint
    assert (as_it_is.reference, as_it_is.held_out) == ("train", "test")
    turned = ReferenceSet.of(data, "test")
    assert (len(turned.train), len(turned.test)) == (360, 1437)
    assert turned.fingerprint != data.fingerprint
    found = _measured(ImageSet(_images(24, 1)), turned, Projection()).result
    assert (found.protocol.reference, found.protocol.num_reference) == ("test", 360)
    with pytest.raises(ValueError, match="one split"):
        ReferenceSet.of(data, "test", "test")


def test_a_reference_is_measured_once_and_again_when_a_pixel_changes(folder, tmp_path):
    cache, images = Cache(tmp_path / "cache"), ImageSet(_images(24, 1))
    first, second = Projection(), Projection()
    numbers = [
        _measured(made, reference_set(str(folder)), one, [*METRICS, PrecisionRecall], cache, name)
        for one, made, name in (
            (first, images, "made"),
            (second, ImageSet(_images(24, 2)), "other"),
        )
    ]
    assert (first.seen, second.seen) == (30 + 24, 24)
    other = ImageSet(_images(24, 2))
    alone = _measured(other, reference_set(str(folder)), second, [*METRICS, PrecisionRecall])
    for name, value in alone.result.values.items():
        assert numbers[1].result.values[name].value == pytest.approx(value.value, rel=1e-12)
    picture = Image.open(folder / "00.png")
    picture.putpixel((0, 0), 255 - picture.getpixel((0, 0)))
    picture.save(folder / "00.png")
    third = Projection()
    _measured(images, reference_set(str(folder)), third, [*METRICS, PrecisionRecall], cache)
    assert third.seen == 30 + 24
