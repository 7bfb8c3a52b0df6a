from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from eval.measure.plan import Measurement, plan
from eval.metric import (
    BitsPerDim,
    ClipFrechetDistance,
    ClipScore,
    ClipScoreW25,
    FidInfinity,
    FrechetDistance,
    KernelDistance,
    MeanMetric,
    NearestImage,
    SpatialFrechetDistance,
)
from eval.source.reference_set import ReferenceSet
from zoo.data import ImageSet

PICTURES = SimpleNamespace(name="inception", provides=("pool", "logits", "spatial"))
CAPTIONS = SimpleNamespace(name="clip", text=lambda captions: None)
IMAGES = ImageSet(torch.zeros(20, 1, 4, 4, dtype=torch.uint8))
DATA = ReferenceSet("zeros", (1, 4, 4), IMAGES, IMAGES)


def planned(metrics: list[Any], extractors: list[Any]) -> tuple[Measurement, ...]:
    return plan(metrics, extractors, DATA, 50).measurements


def test_every_number_is_an_entry_of_one_list() -> None:
    entries = planned([FrechetDistance, ClipScore, NearestImage, BitsPerDim], [PICTURES, CAPTIONS])
    assert [(e.value_name(e.name), e.num_images) for e in entries] == [
        ("fid_inception_20", 20),  # as many as are held out
        ("fid_inception_50", 50),
        ("clip_score_clip", 50),
        ("nearest_training_image", 50),
        ("bits_per_dim", 50),
    ]


def test_what_is_measured_by_default_is_left_out_where_no_extractor_suits_it() -> None:
    assert [e.name for e in planned([FrechetDistance, ClipScore], [PICTURES])] == [
        "fid_inception",
        "fid_inception",
    ]
    with pytest.raises(ValueError, match="nothing to measure: .* metrics are clip_score and extr"):
        planned([ClipScore], [])


def test_a_reference_without_images_leaves_out_what_needs_them() -> None:
    nothing = ReferenceSet("none", (1, 4, 4))
    entries = plan([NearestImage, BitsPerDim], [], nothing, 50)
    assert [e.name for e in entries.measurements] == ["bits_per_dim"]
    assert not entries.absent  # nobody chose the nearest image: it is measured by default


def test_each_metric_meets_the_extractors_that_suit_it() -> None:
    kinds = [KernelDistance, FidInfinity, ClipFrechetDistance, ClipScoreW25, SpatialFrechetDistance]
    found = [(e.kind.stem, e.extractor.name) for e in planned(kinds, [PICTURES, CAPTIONS])]
    assert found == [
        ("kid", "inception"),
        ("fid_infinity", "inception"),
        ("clip_fid", "clip"),
        ("clip_score_w25", "clip"),
        ("sfid", "inception"),
    ]


def test_a_metric_without_its_extractor_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"clip_score_w25 needs a network of images and captions"):
        planned([ClipScoreW25], [PICTURES])
    with pytest.raises(ValueError, match=r"clip_fid needs .* the extractors are inception: add"):
        planned([ClipFrechetDistance], [PICTURES])
    with pytest.raises(ValueError, match="sfid needs .* the extractors are none"):
        planned([SpatialFrechetDistance], [])


def test_settings_say_what_is_measured_and_against_what() -> None:
    points, caption = planned(
        [partial(FidInfinity, points=5, seed=1), ClipScoreW25], [PICTURES, CAPTIONS]
    )
    assert points.settings.startswith("FidInfinity, points 5, seed 1, feature pool, all ")
    assert caption.settings == "ClipScoreW25, feature pool, each image's caption"


def test_what_is_no_metric_or_says_too_little_is_refused() -> None:
    def kind(**attributes: Any) -> Any:
        return type("Own", (MeanMetric,), {"stem": "own", "definition": "A number."} | attributes)

    for wrong, message in (
        (kind(stem=None), "metric Own has no stem"),
        (kind(definition=None), "metric Own has no definition"),
        (kind(against="moments"), "metric own: against is one of statistics, .* got 'moments'"),
        (kind(column="qualty"), "metric own: column is one of quality, cost, section, got 'qual"),
        ({"subsets": 3}, "is not a metric: .* _partial_: true"),
        (FrechetDistance.__mro__[-1], "is not a metric"),
    ):
        with pytest.raises(ValueError, match=message):
            planned([wrong], [PICTURES])
    with pytest.raises(ValueError, match="metric kid has no setting 'subset'; it has .*subsets"):
        planned([partial(KernelDistance, subset=3)], [PICTURES])
    with pytest.raises(ValueError, match="two metrics give fid_inception_20, fid_inception_50"):
        planned([FrechetDistance, kind(stem="fid", per_count=True)], [PICTURES])
