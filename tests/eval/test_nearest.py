from __future__ import annotations

import pytest
import torch

from eval.nearest import nearest_distances, percentiles


def _images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, 8, 8), generator=generator).byte()


def test_equal_to_the_definition_over_many_chunks(monkeypatch):
    monkeypatch.setattr("eval.nearest._CHUNK", 7)
    images, training = _images(20, 0), _images(31, 1)
    difference = images[:, None].double() - training[None].double()
    expected = difference.square().mean(dim=(2, 3, 4)).sqrt().min(dim=1).values
    torch.testing.assert_close(nearest_distances(images, training), expected, rtol=1e-12, atol=0)


def test_a_copy_has_distance_zero_and_a_mirrored_copy_too_where_training_flips():
    training = _images(50, 0)
    assert nearest_distances(training[30:32], training).tolist() == [0.0, 0.0]
    mirrored = training[30:32].flip(-1)
    assert nearest_distances(mirrored, training).min() > 0
    assert nearest_distances(mirrored, training, flip=True).tolist() == [0.0, 0.0]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="images of one shape"):
        nearest_distances(_images(2, 0), _images(2, 1)[:, :1])


def test_percentiles_carry_their_prefix():
    found = percentiles(torch.arange(101, dtype=torch.float64), "test_")
    assert found == {"test_p1": 1.0, "test_p5": 5.0, "test_p50": 50.0, "test_p95": 95.0}
