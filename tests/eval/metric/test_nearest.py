from __future__ import annotations

import pytest
import torch

from eval.metric import NearestImage
from eval.metric.nearest import nearest, pairs, percentiles
from eval.source.batch import Images
from zoo.data import ImageSet


def _images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, 8, 8), generator=generator).byte()


def test_equal_to_the_definition_over_many_chunks(monkeypatch):
    monkeypatch.setattr("eval.metric.nearest._CHUNK", 7)
    images, training = _images(20, 0), _images(31, 1)
    difference = images[:, None].double() - training[None].double()
    expected = difference.square().mean(dim=(2, 3, 4)).sqrt().min(dim=1).values
    torch.testing.assert_close(nearest(images, training).distances, expected, rtol=1e-12, atol=0)


def test_a_copy_has_distance_zero_and_a_mirrored_copy_too_where_training_flips():
    training = _images(50, 0)
    assert nearest(training[30:32], training).distances.tolist() == [0.0, 0.0]
    mirrored = training[30:32].flip(-1)
    assert nearest(mirrored, training).distances.min() > 0
    assert nearest(mirrored, training, flip=True).distances.tolist() == [0.0, 0.0]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="images of one shape"):
        nearest(_images(2, 0), _images(2, 1)[:, :1])


def test_percentiles_carry_their_prefix():
    found = percentiles(torch.arange(101, dtype=torch.float64), "test_")
    assert found == {"test_p1": 1.0, "test_p5": 5.0, "test_p50": 50.0, "test_p95": 95.0}


def test_the_closest_pairs_come_first_and_a_mirrored_one_is_shown_as_it_was_met():
    training = _images(40, 0)
    images = torch.cat([_images(3, 1), training[7:8], training[9:10].flip(-1)])
    images[4, 0, 0, 0] ^= 3
    found = nearest(images, training, flip=True)
    assert found.indices[3:].tolist() == [7, 9]
    assert found.mirrored[3:].tolist() == [False, True]
    shown = pairs(images, training, found, 2)
    assert torch.equal(shown[0], torch.stack([training[7], training[7]]))
    assert torch.equal(shown[1], torch.stack([images[4], training[9].flip(-1)]))


def test_a_split_is_searched_piece_by_piece(monkeypatch):
    monkeypatch.setattr("eval.metric.nearest._CHUNK", 7)
    images, training = _images(20, 0), _images(31, 1)
    whole, split = nearest(images, training), nearest(images, ImageSet(training))
    assert torch.equal(whole.distances, split.distances)
    assert torch.equal(whole.indices, split.indices)
    assert pairs(images, ImageSet(training), split).equal(pairs(images, training, whole))


def test_the_metric_is_the_median_of_the_first_images_distances():
    training, images = ImageSet(_images(31, 1)), _images(20, 0)
    distances = nearest(images[:15], training).distances
    metric = NearestImage(training, num_images=15)
    for part in images.split(6):
        metric.update({}, Images(part))
    median = distances.quantile(0.5).item()
    assert metric.compute() == {"nearest_training_image": pytest.approx(median, rel=1e-12)}
    least = {"least": distances.min().item()}
    assert metric.detail("nearest_training_image") == {**percentiles(distances), **least}
    assert (metric.used(20), metric.used(9)) == (15, 9)
    assert metric.closest().equal(pairs(images[:15], training, nearest(images[:15], training)))


def test_metrics_of_parts_merge_and_none_is_an_error():
    training, images = ImageSet(_images(31, 1)), _images(20, 0)
    whole, first, second = (NearestImage(training) for _ in range(3))
    with pytest.warns(UserWarning, match="before"), pytest.raises(ValueError, match="no image has"):
        whole.compute()
    for metric, part in ((whole, images), (first, images[:7]), (second, images[7:])):
        metric.update({}, Images(part))
    first.compute()
    first.merge_state(second)
    assert first.compute() == whole.compute()
    assert first.closest().equal(whole.closest())
    few = NearestImage(training, num_images=8)
    few.merge_state(second)
    few.merge_state(first)  # the first eight alone
    assert few.closest().equal(pairs(images[7:15], training, nearest(images[7:15], training)))
    first.reset()
    first.update({}, Images(images.flip(0)))
    assert first.detail("nearest_training_image") == whole.detail("nearest_training_image")
    assert not first._nearest.indices.equal(whole._nearest.indices)


def test_mirrored_images_count_where_training_mirrors_them():
    training = _images(31, 1)
    for flip in (False, True):
        metric = NearestImage(ImageSet(training), flip=flip)
        metric.update({}, Images(training[3:5].flip(-1)))
        assert (metric.compute()["nearest_training_image"] == 0) == flip


def test_held_out_images_stand_beside_and_closer_ones_are_counted():
    training = _images(31, 1)
    held_out = NearestImage(ImageSet(training))
    held_out.update({}, Images(_images(12, 2)))
    held_out.compute()
    detail = held_out.detail("nearest_training_image")
    metric = NearestImage(ImageSet(training))
    metric.update({}, Images(torch.cat([training[:3], 255 * (training[:2] < 128).byte()])))
    assert metric.beside(detail) == {
        **{f"test_p{p}": detail[f"p{p}"] for p in (1, 5, 50, 95)}, "closer_than_any_test": 3.0,
    }  # fmt: skip
