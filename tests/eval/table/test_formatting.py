from __future__ import annotations

from dataclasses import replace

import pytest

from eval.result.record import Value
from eval.table.formatting import (
    is_frechet,
    not_estimable,
    notes,
    rank_deficient,
    rank_warnings,
    stem_of,
    title_of,
)


@pytest.mark.parametrize(
    ("name", "extractor", "num_images", "title"),
    [
        ("fid_inception_50000", "inception", 50_000, "FID-50000 (inception)"),
        ("fid_dinov2_1000", "dinov2", 1000, "FD-DINOv2-1000"),
        ("fid_dinov2", "dinov2", 1000, "FD-DINOv2"),
        ("fid_dinov2_edm2", "dinov2_edm2", 1000, "FD-DINOv2 (dinov2_edm2)"),
        ("fid_infinity_inception", "inception", 5000, "FID∞ (inception)"),
        ("fid_infinity_dinov2", "dinov2", 5000, "FD∞-DINOv2"),
        ("clip_fid_open_clip", "open_clip", 5000, "CLIP-FID (open_clip)"),
        ("clip_fid", None, 5000, "CLIP-FID"),
        ("clip_score_open_clip", "open_clip", 10, "CLIP score (open_clip)"),
        ("clip_score_w25_open_clip", "open_clip", 10, "CLIPScore (w = 2.5, open_clip)"),
        ("clip_score_w25", None, 10, "CLIPScore (w = 2.5)"),
        ("sfid_inception", "inception", 10, "sFID (inception)"),
        ("rfid_inception", "inception", 10, "rFID (inception)"),
        ("psnr", None, 10, "PSNR"),
        ("ssim", None, 10, "SSIM"),
        ("lpips", None, 10, "LPIPS"),
        ("kid_small", "small", 10, "KID (small)"),
        ("precision_small", "small", 10, "precision (small)"),
        ("my_own_metric_a_b", "a_b", 10, "my own metric (a_b)"),
        ("bits_per_dim", None, 3, "bits/dim"),
    ],
)
def test_every_metric_has_its_name(name, extractor, num_images, title):
    assert title_of(name, Value(1.0, "", None, extractor, num_images=num_images)) == title


def test_names_that_begin_alike_are_told_apart():
    assert stem_of("fidelity_small", "small") == "fidelity"
    assert is_frechet("sfid_inception") and is_frechet("fid_small_360")
    assert not is_frechet("clip_score_w25") and not is_frechet("fidelity")


FID = Value(
    3.0, "", False, "inception", num_images=5000, detail={"dimensions": 2048.0},
    interval=[2.5, 3.5], blocks=[3.0] * 10, floor=1.5, floor_images=5000,
)  # fmt: skip


def test_a_distance_is_read_beside_its_floor_and_its_bias():
    assert notes(FID, "fid_inception_5000") == ["95 %: 2.50 to 3.50", "2.00× floor 1.50"]
    corrected = replace(FID, corrected=2.0)
    assert "bias-corrected 2.00" in notes(corrected)
    other = replace(FID, floor_images=1000)
    assert "floor 1.50 at 1,000 images" in notes(other, "fid_inception_5000")
    assert "floor 1.50" in notes(FID, "kid_inception")  # a ratio of KIDs says nothing


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
    few = replace(FID, num_images=1000)
    results = [make_result(name) for name in ("a", "b")]
    assert rank_warnings(results) == []
    results = [replace(r, values={"fid_inception_1000": few, "kid": FID}) for r in results]
    (warning,) = rank_warnings(results)
    assert warning.startswith("FID-1000 (inception) is of 1,000 images with 2,048 dimensions")
