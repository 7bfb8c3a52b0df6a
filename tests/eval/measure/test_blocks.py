from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from eval.measure.blocks import Blocks
from eval.metric.class_accuracy import ClassAccuracy
from eval.metric.frechet import FrechetDistance, frechet_distance
from eval.metric.inception_score import InceptionScore, inception_score
from eval.metric.kernel import (
    ClipKernelDistance,
    KernelDistance,
    gaussian_mmd,
    kernel_distance,
)
from eval.metric.metric import Metric
from eval.metric.neighbours import PrecisionRecall, neighbours
from eval.moments.feature_statistics import FeatureStatistics
from eval.source.batch import Images

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


def test_inception_score_is_the_mean_of_its_splits() -> None:
    found = fed(lambda: InceptionScore("small", "pool"), 30).estimates()["inception_score_small"]
    splits = [float(inception_score(FEATURES[a:b], 1)) for a, b in BOUNDS]
    assert found.value == pytest.approx(sum(splits) / BLOCKS)
    assert found.pseudo == pytest.approx(splits)


def test_interval_of_kid_is_that_of_the_estimate_over_all_pairs() -> None:
    blocks = fed(lambda: KernelDistance(REFERENCE, "small", subset_size=50), 30)
    found = blocks.estimates()["kid_small"]
    assert found.value == pytest.approx(
        float(kernel_distance(FEATURES, REFERENCE, 100, 50).mean()), rel=1e-9
    )

    def over(rows: Tensor) -> float:
        x, y = rows.double(), REFERENCE.double()
        xx, xy, yy = ((a @ b.T / SIZE + 1) ** 3 for a, b in ((x, x), (x, y), (y, y)))
        own = (xx.sum() - xx.trace()) / (len(x) * (len(x) - 1))
        return float(own + (yy.sum() - yy.trace()) / (len(y) * (len(y) - 1)) - 2 * xy.mean())

    for (first, last), pseudo in zip(BOUNDS, found.pseudo, strict=True):
        without = over(torch.cat([FEATURES[:first], FEATURES[last:]]))
        want = found.value - (BLOCKS - 1) * (without - over(FEATURES))
        assert pseudo == pytest.approx(want, rel=1e-9)


def test_labels_reach_metrics_that_need_them() -> None:
    blocks = Blocks(lambda: ClassAccuracy("small", "pool"), 40, BLOCKS)
    labels = FEATURES[:40].argmax(dim=1)
    labels[:10] = (labels[:10] + 1) % SIZE
    blocks.update({"pool": FEATURES[:40]}, Images(torch.zeros(40, 1, 2, 2), labels))
    found = blocks.estimates()["class_accuracy_small"]
    assert found.value == 0.75
    assert found.pseudo == pytest.approx([0.0, 1.0, 1.0, 1.0])


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


def test_the_chance_of_kids_own_subsets_is_in_its_interval() -> None:
    generator = torch.Generator().manual_seed(0)
    features, reference = (torch.randn(400, 4, generator=generator) for _ in range(2))
    images = Images(torch.zeros(400, 1, 1, 1).byte())

    def error(size: int) -> float:
        make = partial(KernelDistance, reference, "x", subsets=20, subset_size=size)
        blocks = Blocks(make, 400)
        blocks.update({"pool": features}, images)
        return blocks.estimates()["kid_x"].standard_error

    assert error(40) > 1.5 * error(400)  # all of both sets in each subset: no chance of its own
