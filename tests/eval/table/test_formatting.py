from __future__ import annotations

from dataclasses import replace

import pytest

from eval.result.record import Value
from eval.table.formatting import (
    below_floor,
    date,
    has_ratio,
    measured,
    not_estimable,
    notes,
    plus_minus,
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
    assert measured(FID) == "3.00 ± 0.50" and notes(FID) == ["floor 1.50"]
    corrected = replace(FID, corrected=2.0)
    assert "bias-corrected 2.00" in notes(corrected)
    other = replace(FID, floor_images=1000)
    assert notes(other) == []  # of another count, so that the two do not compare
    kid = replace(FID, unbiased=True, floor_images=1000)
    assert notes(kid) == []
    share = replace(FID, distance=False, value=0.98, interval=[0.95, 1.0], floor=0.9)
    assert measured(share) == "0.980 ± 0.030" and notes(share) == ["real 0.900"]
    caption = replace(FID, floor=None, ceiling=80.0, chance=14.0, distance=False)
    assert notes(caption) == ["real 80.0", "chance 14.0"]


@pytest.mark.parametrize(
    ("number", "ends", "text"),
    [
        (0.2023, (0.1117, 0.2929), "0.202 ± 0.091"),
        (0.0, (-0.5, 0.5), "0.00 ± 0.50"),
        (1234.5, (1134.5, 1334.5), "1,234 ± 100"),
        (3.0, (3.0, 3.0), "3.00"),
        (3.0, (None, None), "3.00"),
        (0.01, (0.0, 0.03), "0.010 ± 0.020"),  # cut at 0: the farther end counts
    ],
)
def test_a_number_is_as_long_as_its_interval_allows(number, ends, text):
    assert plus_minus(number, *ends) == text


def test_only_a_distance_lies_below_a_floor_of_its_own_count():
    assert below_floor([FID, replace(FID, value=1.4)])
    assert not below_floor([FID, replace(FID, value=1.4, floor_images=1000)])
    assert not below_floor([replace(FID, value=1.4, distance=False)])


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2025-11-20T12:05:00+00:00", "20 November 2025, 12:05 UTC"),
        ("2025-01-02T03:04:05.678901", "2 January 2025, 03:04"),
        ("yesterday", "yesterday"),
        ("", ""),
    ],
)
def test_dates_are_for_people(time, text):
    assert date(time) == text


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
