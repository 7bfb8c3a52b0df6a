"""What every metric says of itself, which plans, values and tables read; and the mean of images."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from eval import metric as metrics
from eval.extractor.extractor import Extractor
from eval.metric import (
    PSNR,
    SSIM,
    BitsPerDim,
    ClassAccuracy,
    ClipFrechetDistance,
    ClipKernelDistance,
    ClipScore,
    ClipScoreW25,
    DensityCoverage,
    FidInfinity,
    FrechetDistance,
    ImagesPerSecond,
    InceptionScore,
    KernelDistance,
    MeanMetric,
    Metric,
    NearestImage,
    PairMetric,
    PerceptualDistance,
    PrecisionRecall,
    ReconstructionDistance,
    RowsMetric,
    SpatialFrechetDistance,
)
from eval.moments.feature_statistics import FeatureStatistics
from eval.result.heading import heading
from eval.source.batch import Images
from zoo.data import ImageSet

BASES = (Metric, MeanMetric, PairMetric, RowsMetric)
KINDS = {
    kind
    for kind in vars(metrics).values()
    if isinstance(kind, type) and issubclass(kind, Metric) and kind not in BASES
}
STATISTICS = FeatureStatistics(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)))
ROWS = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
VGG = SimpleNamespace(vgg_sha256="ab" * 32)

# name, title, higher is better, against, what it reads: of a metric with the extractor "toy"
ENTRIES = {
    BitsPerDim: ("bits_per_dim", "bits/dim", False, "model", None),
    ClassAccuracy: ("class_accuracy_toy", "class accuracy (toy)", True, "nothing", "logits"),
    ClipFrechetDistance: ("clip_fid_toy", "CLIP-FID (toy)", False, "statistics", "pool"),
    ClipKernelDistance: ("cmmd_toy", "CMMD (toy)", False, "rows", "pool"),
    ClipScore: ("clip_score_toy", "CLIP score (toy)", True, "text", "pool"),
    ClipScoreW25: ("clip_score_w25_toy", "CLIPScore (w = 2.5, toy)", True, "text", "pool"),
    DensityCoverage: ("density_toy", "density (toy)", True, "rows", "pool"),
    FidInfinity: ("fid_infinity_toy", "FID∞ (toy)", False, "statistics", "pool"),
    FrechetDistance: ("fid_toy", "FID (toy)", False, "statistics", "pool"),
    ImagesPerSecond: ("images_per_second", "images/s", True, "nothing", None),
    InceptionScore: ("inception_score_toy", "Inception Score (toy)", True, "nothing", "logits"),
    KernelDistance: ("kid_toy", "KID (toy)", False, "rows", "pool"),
    NearestImage: ("nearest_training_image", "nearest training image", None, "pixels", None),
    PSNR: ("psnr", "PSNR", True, "pairs", None),
    PerceptualDistance: ("lpips", "LPIPS (vgg16)", False, "pairs", None),
    PrecisionRecall: ("precision_toy", "precision (toy)", True, "rows", "pool"),
    ReconstructionDistance: ("rfid_toy", "rFID (toy)", False, "pairs", "pool"),
    SSIM: ("ssim", "SSIM", True, "pairs", None),
    SpatialFrechetDistance: ("sfid_toy", "sFID (toy)", False, "statistics", "spatial"),
}


def fresh(kind: type[Metric], extractor: str = "toy") -> Metric:
    """A metric as a plan makes it."""
    settings: dict[str, Any] = {} if kind.reads is None else {"extractor": extractor}
    reference = {"statistics": STATISTICS, "rows": ROWS, "pixels": ImageSet(blank(2).images)}
    if kind.against in reference:
        settings["reference"] = reference[kind.against]
    if kind.against == "text":
        settings["text"] = None
    return kind(**({"vgg": VGG} if kind is PerceptualDistance else settings))


def blank(count: int, **parts: Any) -> Images:
    return Images(torch.zeros(count, 1, 4, 4, dtype=torch.uint8), **parts)


def test_no_metric_is_left_out_here() -> None:
    assert set(ENTRIES) == KINDS


@pytest.mark.parametrize("kind", ENTRIES)
def test_every_metric_says_what_it_is(kind: type[Metric]) -> None:
    metric = fresh(kind)
    title = metric.heading(metric.name)
    entry = (metric.name, title, kind.higher_is_better, kind.against, kind.reads)
    assert entry == ENTRIES[kind]
    assert kind.definition and metric.define(metric.name, 360)
    low, high = metric.limits(metric.name)
    assert low < high
    assert metric.used(7) == 7
    if kind is not NearestImage:
        assert metric.beside({"least": 0.0}) == {}


def test_what_tables_read_off_a_metric() -> None:
    def those(name: str, value: Any) -> set[type[Metric]]:
        return {kind for kind in KINDS if getattr(kind, name) == value}

    distances = {
        ClipFrechetDistance, ClipKernelDistance, FidInfinity, FrechetDistance, KernelDistance,
        ReconstructionDistance, SpatialFrechetDistance,
    }  # fmt: skip
    assert those("distance", True) == distances
    assert those("unbiased", True) == {KernelDistance, ClipKernelDistance}
    assert those("per_count", True) == {FrechetDistance, ReconstructionDistance}
    assert those("optional", True) == {FrechetDistance, ClipScore, NearestImage}
    assert those("averaged", True) == {InceptionScore}
    assert those("has_interval", False) == {NearestImage, ImagesPerSecond}
    assert those("column", "section") == {NearestImage}
    assert those("column", "cost") == {ImagesPerSecond}
    assert {kind.unit for kind in KINDS} == {"", "dB", "bits", "1/s"}


def test_what_images_lack() -> None:
    reasons = {
        ClassAccuracy: ("the images were generated for no classes", {"labels": torch.zeros(2)}),
        ClipScore: ("the images have no captions", {"captions": ["a", "b"]}),
        ClipScoreW25: ("the images have no captions", {"captions": ["a", "b"]}),
    }
    for kind in KINDS:
        reason, remedy = reasons.get(kind, (None, {}))
        assert kind.lacks(blank(2)) == reason
        assert kind.lacks(blank(2, **remedy)) is None


@pytest.mark.parametrize(
    ("kind", "extractor", "count", "title"),
    [
        (FrechetDistance, "inception", 50_000, "FID-50000 (inception)"),
        (FrechetDistance, "dinov2", 1000, "FD-DINOv2-1000"),
        (FrechetDistance, "dinov2", None, "FD-DINOv2"),
        (FrechetDistance, "dinov2_edm2", None, "FD-DINOv2 (dinov2_edm2)"),
        (FidInfinity, "inception", None, "FID∞ (inception)"),
        (FidInfinity, "dinov2", None, "FD∞-DINOv2"),
        (FidInfinity, "dinov2_edm2", None, "FD∞-DINOv2 (dinov2_edm2)"),
        (SpatialFrechetDistance, "dinov2", None, "sFID (dinov2)"),
        (ClipFrechetDistance, "open_clip", None, "CLIP-FID (open_clip)"),
        (ClipScoreW25, "open_clip", None, "CLIPScore (w = 2.5, open_clip)"),
        (ReconstructionDistance, "inception", 500, "rFID-500 (inception)"),
    ],
)
def test_a_title_has_the_count_and_the_network(
    kind: type[Metric], extractor: str, count: int | None, title: str
) -> None:
    metric = fresh(kind, extractor)
    assert metric.heading(metric.name, count) == title


def test_a_metric_of_two_numbers_names_both() -> None:
    for kind, shares in (
        (PrecisionRecall, ("precision", "recall")),
        (DensityCoverage, ("density", "coverage")),
    ):
        metric = fresh(kind, "a_b")
        for share in shares:
            assert metric.heading(f"{share}_a_b") == f"{share} (a_b)"
        first, second = (metric.define(f"{share}_a_b", 10) for share in shares)
        assert first != second


def test_titles_without_a_network_and_of_a_stem() -> None:
    assert heading("CLIP-FID") == "CLIP-FID"
    assert heading("CLIPScore (w = 2.5)") == "CLIPScore (w = 2.5)"
    assert Brightness("a_b").heading("my_own_metric_a_b") == "my own metric (a_b)"


class Brightness(MeanMetric):
    """Each image's own number is its feature's first entry."""

    stem = "my_own_metric"
    definition = "how bright an image is"

    def of(self, features: dict[str, Tensor], images: Images) -> Tensor:
        return self.read(features)[:, 0]


def test_a_mean_metric_is_the_mean_over_uneven_batches_and_merges() -> None:
    rows = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
    first, second = Brightness("toy"), Brightness("toy")
    for metric, part in ((first, rows[:4]), (second, rows[4:5]), (second, rows[5:])):
        metric.update({"pool": part}, blank(len(part)))
    first.merge_state(second)
    mean, deviation = rows[:, 0].double().mean(), rows[:, 0].double().std(correction=0)
    assert first.compute() == {"my_own_metric_toy": pytest.approx(mean.item(), rel=1e-12)}
    detail = first.detail("my_own_metric_toy")
    assert detail == {"deviation": pytest.approx(deviation.item(), rel=1e-9)}
    assert first.standard_error("my_own_metric_toy") is None  # blocks of images tell it
    assert first.total.dtype == torch.float64


def test_a_mean_metric_of_nothing_and_of_another_feature_is_refused() -> None:
    nothing = "my_own_metric_toy: no image has been seen"
    with pytest.warns(UserWarning, match="before"), pytest.raises(ValueError, match=nothing):
        Brightness("toy").compute()
    message = "my_own_metric_toy reads the feature 'pool', which toy does not give; it gives logits"
    with pytest.raises(ValueError, match=message):
        Brightness("toy").update({"logits": torch.zeros(2, 2)}, blank(2))


def test_each_metric_suits_the_extractors_that_give_what_it_reads() -> None:
    pictures: Extractor = SimpleNamespace(provides=("pool", "logits"), num_classes=3)
    captions: Extractor = SimpleNamespace(text=lambda captions: None)
    suited = {kind for kind in KINDS if kind.suits(pictures, None)}
    assert suited == {
        DensityCoverage, FidInfinity, FrechetDistance, InceptionScore, KernelDistance,
        PrecisionRecall, ReconstructionDistance,
    }  # fmt: skip
    assert ClassAccuracy.suits(pictures, 3) and not ClassAccuracy.suits(pictures, 10)
    assert {kind for kind in KINDS if kind.suits(captions, None)} == {
        ClipFrechetDistance, ClipKernelDistance, ClipScore, ClipScoreW25,
    }  # fmt: skip


def test_a_mean_of_anything_but_one_number_an_image_is_refused() -> None:
    class Wide(MeanMetric):
        stem, reads = "wide", "pool"

        def of(self, features, images):
            return self.read(features)

    images = Images(torch.zeros(3, 1, 2, 2).byte())
    with pytest.raises(ValueError, match=r"wide_small: of\(\) gives .* \(3,\), got \(3, 5\)"):
        Wide("small").update({"pool": torch.zeros(3, 5)}, images)
    metric = Wide("small")
    metric.of = lambda features, images: 1.0  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"wide_small: of\(\) gives .* got float"):
        metric.update({}, images)
