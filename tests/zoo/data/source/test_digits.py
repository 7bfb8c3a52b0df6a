from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from zoo.data import Digits
from zoo.data.source.digits import originals, to_originals


@pytest.fixture(scope="module")
def digits():
    data = Digits()
    data.setup()
    return data


def test_shape_and_counts(digits):
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert digits.train.images.shape == (1437, 1, 16, 16)
    assert digits.shape == (1, 16, 16)
    assert digits.num_classes == 10
    assert len(digits.class_names) == 10
    assert not digits.flip


def test_split_is_stratified(digits):
    whole = torch.cat([digits.train.labels, digits.test.labels]).bincount()
    share = digits.test.labels.bincount() / whole
    assert (whole == torch.tensor([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])).all()
    assert (share * whole - whole * 360 / 1797).abs().max() < 1


def test_split_is_the_same_everywhere_and_does_not_follow_the_training_seed(digits):
    other = Digits(seed=7)
    other.setup()
    assert other.fingerprint == digits.fingerprint
    resplit = Digits(split_seed=1)
    resplit.setup()
    assert resplit.fingerprint != digits.fingerprint
    # Pinned: the extractors and models that ship were trained on this very split.
    rows = originals()[1].images.astype(np.uint8).tobytes()
    assert hashlib.sha256(rows).hexdigest().startswith("3cc232bd25364446")


def test_splits_share_no_row():
    train, test = originals()
    rows = np.concatenate([train.images, test.images]).reshape(1797, -1)
    from sklearn.datasets import load_digits

    key = lambda array: sorted(map(bytes, array.astype(np.uint8)))  # noqa: E731
    assert key(rows) == key(load_digits().data)


def test_captions_name_the_labels(digits):
    label = int(digits.train.labels[0])
    word = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"][label]
    assert digits.train.captions[0] == f"a handwritten {word}"


def test_a_classifier_of_the_originals_knows_the_resized_ones(digits):
    from sklearn.svm import SVC

    train, test = originals()
    judge = SVC(gamma=0.001, C=10).fit(train.images.reshape(-1, 64), train.labels)
    expected = judge.score(test.images.reshape(-1, 64), test.labels)
    averaged = to_originals(digits.test.images)
    assert np.sqrt(((averaged - test.images) ** 2).mean()) < 1.0  # of 16 levels
    assert expected > 0.98
    assert judge.score(averaged.reshape(-1, 64), digits.test.labels.numpy()) > expected - 0.005


def test_other_sizes_and_colours():
    eight = Digits(image_size=8, channels=3)
    eight.setup()
    assert eight.train.images.shape == (1437, 3, 8, 8)
    assert (eight.train.images[:, 0] == eight.train.images[:, 2]).all()
    back = to_originals(eight.test.images[:, :1])
    np.testing.assert_allclose(back, originals()[1].images, atol=0.5 * 16 / 255)
    with pytest.raises(ValueError, match="multiple of 8"):
        to_originals(torch.zeros(1, 1, 12, 12, dtype=torch.uint8))
