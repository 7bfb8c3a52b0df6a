from __future__ import annotations

import pytest
import torch

from zoo.data import ImageSet


def make(**changes):
    values = torch.randint(256, (6, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    fields = {
        "images": values.to(torch.uint8),
        "labels": torch.arange(6) % 3,
        "captions": [f"image {i}" for i in range(6)],
        "class_names": "abc",
    }
    return ImageSet(**{**fields, **changes})


def test_gather_keeps_the_order_and_copies():
    images = make()
    got = images.gather([4, 0, 4])
    assert (got[0] == images.images[4]).all()
    assert (got[1] == images.images[0]).all()
    got.zero_()
    assert images.images[4].any()


def test_fingerprint_is_of_the_content_alone():
    assert make().fingerprint == make(class_names="xyz").fingerprint


@pytest.mark.parametrize("field", ["images", "labels", "captions", "none"])
def test_fingerprint_changes_with_anything(field):
    changed = make()
    value = getattr(changed, field, None)
    if field == "images":
        value = value.clone()
        value[3, 1, 2, 0] ^= 1
    elif field == "labels":
        value = value.flip(0)
    elif field == "captions":
        value = [*value[:-1], "other"]
    else:
        field, value = "captions", None
    assert make(**{field: value}).fingerprint != make().fingerprint


def test_fingerprint_changes_with_the_shape():
    assert make(images=make().images.reshape(6, 3, 2, 8)).fingerprint != make().fingerprint


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="6 images, but 5 labels"):
        make(labels=torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match="6 images, but 1 captions"):
        make(captions=["one"])
    with pytest.raises(ValueError, match="at least one image"):
        ImageSet(torch.empty(0, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="uint8"):
        ImageSet(torch.zeros(1, 3, 4, 4))
