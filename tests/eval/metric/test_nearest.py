from __future__ import annotations

import pytest
import torch

from eval.metric.nearest import nearest, pairs, percentiles
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
