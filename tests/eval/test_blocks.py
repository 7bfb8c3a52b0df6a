from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from eval.blocks import Blocks
from eval.feature_statistics import FeatureStatistics
from eval.images import Images
from eval.metric.frechet import FrechetDistance, frechet_distance
from eval.metric.inception_score import InceptionScore, inception_score
from eval.metric.kernel import ClipKernelDistance, gaussian_mmd
from eval.metric.metric import Metric
from eval.metric.neighbours import PrecisionRecall, neighbours

COUNT, SIZE, BLOCKS = 83, 5, 4
GENERATOR = torch.Generator().manual_seed(0)
FEATURES = torch.randn(COUNT, SIZE, generator=GENERATOR) + 0.3
REFERENCE = torch.randn(60, SIZE, generator=GENERATOR)
STATISTICS = FeatureStatistics(REFERENCE)
BOUNDS = [(0, 20), (20, 41), (41, 62), (62, 83)]

CASES: dict[str, tuple[Callable[[], Metric], Callable[[Tensor], float]]] = {
    "fid_small": (
        lambda: FrechetDistance(STATISTICS, "small"),
        lambda rows: frechet_distance(FeatureStatistics(rows), STATISTICS),
    ),
    "inception_score_small": (
        lambda: InceptionScore("small", "pool"),
        lambda rows: float(inception_score(rows, 1)),
    ),
    "cmmd_small": (
        lambda: ClipKernelDistance(REFERENCE, "small"),
        lambda rows: gaussian_mmd(rows, REFERENCE),
    ),
    "recall_small": (
        lambda: PrecisionRecall(REFERENCE, "small"),
        lambda rows: neighbours(rows, REFERENCE).recall,
    ),
}


def fed(make: Callable[[], Metric], batch: int) -> Blocks:
    blocks = Blocks(make, COUNT, BLOCKS)
    for part in FEATURES.split(batch):
        blocks.update({"pool": part}, Images(torch.zeros(len(part), 1, 2, 2), None, None))
    return blocks


@pytest.mark.parametrize("batch", [1, 30, COUNT])
@pytest.mark.parametrize("name", CASES)
def test_value_and_interval_are_those_of_the_definition(name: str, batch: int) -> None:
    make, of = CASES[name]
    found = fed(make, batch).estimates()[name]
    assert found.value == pytest.approx(of(FEATURES), rel=1e-9)
    for (first, last), pseudo in zip(BOUNDS, found.pseudo, strict=True):
        without = of(torch.cat([FEATURES[:first], FEATURES[last:]]))
        want = BLOCKS * of(FEATURES) - (BLOCKS - 1) * without
        assert pseudo == pytest.approx(want, rel=1e-7)


def test_counts_are_watched() -> None:
    make, _ = CASES["fid_small"]
    blocks = Blocks(make, 10, 2)
    with pytest.raises(ValueError, match="0 images where 10"):
        blocks.estimates()
    for rows in (FEATURES[:7], FEATURES[7:20]):
        blocks.update({"pool": rows}, Images(torch.zeros(len(rows), 1, 2, 2), None, None))
    found = blocks.estimates()["fid_small"]
    assert found.value == pytest.approx(CASES["fid_small"][1](FEATURES[:10]))


@pytest.mark.parametrize("name", ["fid_small", "recall_small"])
def test_too_few_images_for_blocks_have_no_interval(name: str) -> None:
    make, of = CASES[name]
    blocks = Blocks(make, 15, 10)
    blocks.update({"pool": FEATURES[:15]}, Images(torch.zeros(15, 1, 2, 2), None, None))
    found = blocks.estimates()[name]
    assert found.value == pytest.approx(of(FEATURES[:15]), rel=1e-9)
    assert found.low == -float("inf") and not found.pseudo
