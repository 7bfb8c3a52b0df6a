from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest

from eval.measure.plan import lineup
from eval.metric import (
    ClipFrechetDistance,
    ClipScoreW25,
    FidInfinity,
    KernelDistance,
    SpatialFrechetDistance,
)

PICTURES = SimpleNamespace(name="inception", provides=("pool", "logits", "spatial"))
CAPTIONS = SimpleNamespace(name="clip", text=lambda captions: None)


def test_each_metric_meets_the_extractors_that_suit_it() -> None:
    kinds = [KernelDistance, FidInfinity, ClipFrechetDistance, ClipScoreW25, SpatialFrechetDistance]
    found = [(e.kind.stem, e.extractor.name) for e in lineup(kinds, [PICTURES, CAPTIONS], None)]
    assert found == [
        ("kid", "inception"),
        ("fid_infinity", "inception"),
        ("clip_fid", "clip"),
        ("clip_score_w25", "clip"),
        ("sfid", "inception"),
    ]


def test_a_metric_without_its_extractor_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"clip_score_w25 needs a network of images and captions"):
        lineup([ClipScoreW25], [PICTURES], None)
    with pytest.raises(ValueError, match=r"clip_fid needs .* the extractors are inception: add"):
        lineup([ClipFrechetDistance], [PICTURES], None)
    with pytest.raises(ValueError, match="sfid needs .* the extractors are none"):
        lineup([SpatialFrechetDistance], [], None)


def test_settings_say_what_is_measured_and_against_what() -> None:
    points, caption = lineup(
        [partial(FidInfinity, points=5, seed=1), ClipScoreW25], [PICTURES, CAPTIONS], None
    )
    assert points.settings.startswith("FidInfinity, points 5, seed 1, feature pool, all ")
    assert caption.settings == "ClipScoreW25, feature pool, each image's caption"
