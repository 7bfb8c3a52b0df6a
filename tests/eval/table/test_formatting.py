from __future__ import annotations

from dataclasses import replace

import pytest

from eval.result.record import Value
from eval.table.formatting import (
    has_ratio,
    not_estimable,
    notes,
    rank_deficient,
    rank_warnings,
    title_of,
)


def test_a_number_has_its_own_title_and_one_of_an_earlier_version_its_plain_name():
    assert title_of("clip_fid_a_b", Value(1.0, "", title="CLIP-FID (a_b)")) == "CLIP-FID (a_b)"
    assert title_of("my_own_metric_a_b", Value(1.0, "")) == "my own metric a b"


def test_a_distance_has_a_ratio_to_its_floor_unless_it_is_unbiased():
    assert has_ratio(Value(1.0, "", distance=True))
    assert not has_ratio(Value(1.0, "", distance=True, unbiased=True))
    assert not has_ratio(Value(1.0, ""))


FID = Value(
    3.0, "", False, "inception", num_images=5000, detail={"dimensions": 2048.0},
    interval=[2.5, 3.5], blocks=[3.0] * 10, floor=1.5, floor_images=5000,
    title="FID-5000 (inception)", distance=True,
)  # fmt: skip


def test_a_distance_is_read_beside_its_floor_and_its_bias():
    assert notes(FID) == ["95 %: 2.50 to 3.50", "2.00× floor 1.50"]
    corrected = replace(FID, corrected=2.0)
    assert "bias-corrected 2.00" in notes(corrected)
    other = replace(FID, floor_images=1000)
    assert "floor 1.50 at 1,000 images" in notes(other)
    kid = replace(FID, unbiased=True)
    assert "floor 1.50" in notes(kid)  # a ratio of KIDs says nothing


@pytest.mark.parametrize(
    ("count", "deficient", "absent"),
    [(2048, True, True), (2049, False, True), (4550, False, True), (4552, False, False)],
)
def test_the_count_decides_on_rank_and_bias(count, deficient, absent):
    # 4,552 images without one block of ten are 4,096, twice the dimensions; 4,550 are 4,095
    value = replace(FID, num_images=count)
    assert rank_deficient(value) == deficient
    assert not_estimable(value) == absent
    said = " ".join(notes(value))
    assert ("not estimable at this count" in said) == absent
    assert ("no more images than its 2,048 dimensions" in said) == deficient
    assert not not_estimable(replace(value, corrected=1.0))
    assert not not_estimable(replace(value, num_sets=3))


def test_each_distance_of_too_few_images_is_warned_of_once(make_result):
    few = replace(FID, num_images=1000, title="FID-1000 (inception)")
    results = [make_result(name) for name in ("a", "b")]
    assert rank_warnings(results) == []
    results = [replace(r, values={"fid_inception_1000": few, "kid": FID}) for r in results]
    (warning,) = rank_warnings(results)
    assert warning.startswith("FID-1000 (inception) is of 1,000 images with 2,048 dimensions")
