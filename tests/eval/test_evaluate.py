from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn

from eval.measure import Generation, Setting, evaluate
from eval.measure.blocks import Sets
from eval.measure.plan import plan
from eval.measure.reference import measure_reference
from eval.metric import (
    PSNR,
    ClassAccuracy,
    ClipKernelDistance,
    ClipScore,
    ClipScoreW25,
    FidInfinity,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    NearestImage,
    PrecisionRecall,
    clip_score,
    frechet_distance,
    neighbours,
)
from eval.moments.feature_statistics import FeatureStatistics
from eval.result.record import Result
from eval.source.dataset import from_dataset
from eval.source.generated import class_captions
from eval.source.reference_set import ReferenceSet
from eval.table.table import compare
from zoo import DDPM
from zoo.conditioner import ClassLabel, Unconditional
from zoo.data import Digits, ImageSet
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.guidance import ClassifierFree
from zoo.sampler import DDIM, Ancestral, Heun
from zoo.schedule import Linear

WORDS = ("zero", "one", "two")
METRICS = (FrechetDistance, ClipScore, NearestImage)


class Projection:
    """A fixed random projection: an extractor without a training."""

    sha256 = "00" * 32
    resize = "none"

    def __init__(self, name, dim=6):
        self.name, self.seen = name, []
        generator = torch.Generator().manual_seed(len(name))
        self.weight = torch.randn(64, dim, generator=generator, dtype=torch.float64)
        self.words = torch.randn(len(WORDS), dim, generator=generator, dtype=torch.float64)

    def __call__(self, images):
        self.seen.append(len(images))
        return {"pool": (images.flatten(1).double() / 255 - 0.5) @ self.weight}


class Captioned(Projection):
    """The same for images and captions."""

    def text(self, captions):
        return torch.stack([self.words[WORDS.index(c.split()[-1])] for c in captions])


def _split(count, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = (
        torch.randint(64, (count, 1, 8, 8), generator=generator) + 60 * labels[:, None, None, None]
    )
    captions = [f"the number {WORDS[label]}" for label in labels]
    return ImageSet(images.byte(), labels, captions, WORDS)


@pytest.fixture
def data():
    return ReferenceSet("numbers", (1, 8, 8), _split(40, 0), _split(20, 1), num_classes=3)


def _measured(
    subject, data, *extractors, metrics=METRICS, num_images=1000, batch_size=256, seed=0,
    sampler=None, guidance=None, reference=None, **setting,
):  # fmt: skip
    how = Generation(num_images, seed, "balanced", batch_size, sampler, guidance)
    return evaluate(Setting(subject, data, metrics, extractors, how, **setting), reference)


def _model(conditioner=None, **parts):
    torch.manual_seed(0)
    rows = None if conditioner is None else conditioner.num_rows
    net = UNet(1, 1, 8, (1, 2), 1, attention_at=(2,), num_classes=rows, norm_groups=4)
    for parameter in net.parameters():  # zero-initialised layers would make a constant model
        nn.init.normal_(parameter, std=0.1)
    diffusion = GaussianDiffusion(Linear())
    return DDPM(
        net, diffusion, (1, 8, 8), parts.pop("sampler", DDIM(4)), conditioner or Unconditional(),
        **parts,
    ).eval()  # fmt: skip


@pytest.mark.parametrize(
    ("sampler", "guidance", "expected"),
    [
        (DDIM(5), None, 5),
        (Ancestral(3), None, 3),
        (Heun(4), None, 7),  # 2 N - 1: the last step has no second half
        (DDIM(5), ClassifierFree(2.0), 10),
        (DDIM(5), ClassifierFree(1.0), 5),
    ],
)
def test_network_evaluations_are_counted_per_image(data, sampler, guidance, expected):
    model = _model(ClassLabel(3, dropout=0.1), sampler=DDIM(9))
    found = _measured(
        model, data, metrics=[NearestImage], num_images=7, batch_size=3, sampler=sampler,
        guidance=guidance,
    ).result.subject  # fmt: skip
    assert found.network_evaluations == expected
    assert found.num_steps == sampler.num_steps
    assert found.sampler.startswith(type(sampler).__name__)


def test_the_numbers_do_not_depend_on_the_batch_size(data):
    model, extractors = _model(ClassLabel(3)), [Projection("small"), Captioned("clip")]
    by_size = {
        size: _measured(
            model, data, *extractors, num_images=50, fid_counts=[20, 50], batch_size=size, seed=3
        )
        for size in (1, 7, 64)
    }  # fmt: skip
    reference = by_size[64]
    assert set(reference.result.values) == {
        "fid_small_20", "fid_small_50", "clip_score_clip", "nearest_training_image",
        "images_per_second",
    }  # fmt: skip
    for evaluation in by_size.values():
        off = (evaluation.images.int() - reference.images.int()).abs()
        assert off.max() <= 1  # the network's rounding may tip an 8-bit value over
        for name, value in evaluation.result.values.items():
            if name == "images_per_second":
                continue
            expected = reference.result.values[name]
            assert value.value == pytest.approx(expected.value, rel=1e-5)
            if expected.floor is not None:
                assert value.floor == pytest.approx(expected.floor, rel=1e-9)
            assert value.detail == pytest.approx(expected.detail, rel=1e-5)
        assert evaluation.result.protocol == reference.result.protocol


def test_values_equal_their_definitions(data):
    model, extractor, clip = _model(ClassLabel(3)), Projection("small"), Captioned("clip")
    result, images, _ = _measured(
        model, data, extractor, clip, num_images=50, fid_counts=[20, 50], batch_size=16
    )
    direct = model.generate(50, torch.arange(50) % 3, seed=0)
    assert (images.int() - direct.int()).abs().max() <= 1

    features = extractor(images)["pool"]
    train = FeatureStatistics(extractor(data.train.images)["pool"])
    sets = [frechet_distance(FeatureStatistics(part), train) for part in features[:40].split(20)]
    fid = result.values["fid_small_20"]
    assert fid.num_sets == 2
    assert fid.value == pytest.approx(sum(sets) / 2, rel=1e-9)
    assert [fid.detail["set_1"], fid.detail["set_2"]] == pytest.approx(sets, rel=1e-9)
    test = FeatureStatistics(extractor(data.test.images)["pool"])
    assert fid.floor == pytest.approx(frechet_distance(test, train), rel=1e-9)
    assert (fid.floor_images, result.values["fid_small_50"].floor_images) == (20, 20)

    captions = [f"the number {WORDS[i % 3]}" for i in range(50)]
    expected = clip_score(clip(images)["pool"], clip.text(captions)).mean()
    score = result.values["clip_score_clip"]
    assert score.value == pytest.approx(float(expected), rel=1e-9)
    pairs = clip_score(clip(data.test.images)["pool"], clip.text(data.test.captions))
    assert score.ceiling == pytest.approx(float(pairs.mean()), rel=1e-9)
    assert score.chance != score.ceiling
    assert Result.from_json(result.to_json()) == result


def test_each_distinct_extractor_runs_once_per_image(data):
    one, other = Projection("one"), Captioned("other!")
    metrics = [*METRICS, ClipKernelDistance]
    wanted = plan(metrics, [one, other], data, 10, [10])
    reference = measure_reference(data, wanted)
    assert sum(one.seen) == sum(other.seen) == 60  # both splits
    one.seen.clear()
    options = {"metrics": metrics, "num_images": 10, "fid_counts": [10]}
    _measured(_model(ClassLabel(3)), data, one, other, reference=reference, **options)
    assert sum(one.seen) == 10


def test_a_model_without_condition_has_no_clip_score_and_the_table_a_dash(data):
    extractor, options = Captioned("small"), {"num_images": 10, "fid_counts": [10]}
    free = _measured(_model(), data, extractor, name="free", **options).result
    assert free.protocol.labels == "unconditional"
    assert "clip_score_small" not in free.values
    known = _measured(_model(ClassLabel(3)), data, extractor, name="known", **options).result
    assert known.protocol.labels == "balanced: image i has class i mod 3"
    table = compare([known, free], force=True)
    index = [column.key for column in table.columns].index("clip_score_small")
    assert [cells[index].text == "–" for _, cells in table.rows] == [False, True]


def test_stored_images_are_measured_too(data):
    extractor = Projection("small")
    result = _measured(ImageSet(data.test.images), data, extractor, fid_counts=[20]).result
    fid = result.values["fid_small_20"]
    assert fid.value == pytest.approx(fid.floor)  # the held-out images themselves
    assert result.subject.model == "images"
    assert "images_per_second" not in result.values


def test_provenance_becomes_budget_and_subject(data):
    facts = {
        "weights": "ema", "training_seconds": 12.5, "history": [[1, 0.5]],
        "budget": {"images_seen": 640, "batch_size": 64, "learning_rate": 1e-3, "seed": 0},
    }  # fmt: skip
    options = {"metrics": [NearestImage], "num_images": 4}
    result = _measured(_model(), data, facts=facts, sha256="ab" * 32, **options).result
    assert (result.budget.images_seen, result.budget.precision) == (640, None)
    assert (result.subject.weights, result.subject.training_seconds) == ("EMA", 12.5)
    assert result.provenance["history"] == [[1, 0.5]]
    with pytest.raises(ValueError, match="the checkpoint's budget: unknown field 'epochs'"):
        _measured(_model(), data, facts={"budget": {"epochs": 3}}, **options)


def test_sets_that_the_images_cannot_fill_are_refused(data):
    with pytest.raises(ValueError, match="than the 10 there are: set num_images=20"):
        _measured(_model(), data, Projection("a"), num_images=10, fid_counts=[20])
    with pytest.raises(ValueError, match="at least 2 images"):
        plan(METRICS, [Projection("a")], data, 10, [1])
    with pytest.raises(ValueError, match="images are"):
        _measured(ImageSet(torch.zeros(4, 3, 8, 8).byte()), data, Projection("a"))


def test_fid_sets_are_disjoint_and_leave_the_rest_out(data):
    extractor = Projection("small")
    reference = FeatureStatistics(extractor(data.train.images)["pool"])
    sets = Sets(partial(FrechetDistance, reference, "small"), 8, 20)
    for batch in from_dataset(data.test, 5):
        sets.update(extractor(batch.images), batch)
    assert [metric.statistics().count for metric in sets.sets] == [8, 8]
    (estimate,) = sets.estimates().values()
    assert len(estimate.sets) == 2
    assert all(math.isfinite(distance) for distance in estimate.sets)


def test_a_class_has_its_most_frequent_caption(data):
    images = data.train.images[:6]
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    train = ImageSet(images, labels, ["a", "b", "b", "c", "c", "d"], ("x", "y"))
    assert class_captions(train, 2) == ["b", "c"]
    assert class_captions(train, 3) is None


class Classifier:
    """The same projection without captions, and as many logits as there are classes."""

    sha256 = "00" * 32
    resize = "none"
    provides = ("pool", "logits")
    num_classes = 3

    def __init__(self):
        self.name, self.projection = "judge", Projection("judge")

    def __call__(self, images):
        pool = self.projection(images)["pool"]
        return {"pool": pool, "logits": pool[:, :3]}


def test_further_metrics_come_with_floor_interval_and_definition(data):
    judge, clip = Classifier(), Captioned("clip")
    chosen = [partial(KernelDistance, subsets=5), PrecisionRecall, ClassAccuracy]
    chosen += [InceptionScore, ClipKernelDistance]
    images = ImageSet(data.test.images, data.test.labels)
    found = _measured(images, data, judge, clip, fid_counts=[20], metrics=chosen).result
    names = {"kid_judge", "precision_judge", "recall_judge", "inception_score_judge", "cmmd_clip"}
    names.add("class_accuracy_judge")
    assert names <= set(found.values)
    features = {
        split: judge(getattr(data, split).images)["pool"].float() for split in ("train", "test")
    }
    want = neighbours(features["test"], features["train"])
    assert found.values["precision_judge"].value == pytest.approx(want.precision)
    assert found.values["recall_judge"].value == pytest.approx(want.recall)
    for name in names:
        value = found.values[name]
        assert value.floor == pytest.approx(value.value)  # these are the held-out images
        assert value.definition and len(value.blocks) == 10
        if len(set(value.blocks)) > 1:  # blocks that are all alike tell no interval
            assert value.interval[0] <= value.value <= value.interval[1]
        else:
            assert value.interval is None
    assert "subsets 5" in found.protocol.metrics["kid_judge"]
    assert Result.from_json(found.to_json()) == found


def test_each_extractor_runs_once_though_many_metrics_read_it(data):
    extractor = Captioned("small")
    model = _model(ClassLabel(3))
    metrics = [*METRICS, ClipKernelDistance]
    _measured(
        model, data, extractor, metrics=metrics, num_images=40, fid_counts=[40], batch_size=10
    )
    assert sum(extractor.seen) == len(data.train) + len(data.test) + 40


def test_a_metric_without_an_extractor_says_what_it_needs(data):
    with pytest.raises(ValueError, match="class_accuracy needs a classifier of the data's own"):
        _measured(_model(ClassLabel(3)), data, Projection("a"), metrics=[ClassAccuracy])


def test_what_cannot_be_measured_is_absent_with_its_reason(data):
    extractor = Classifier()
    chosen = [FidInfinity, ClipScoreW25, KernelDistance]
    images = ImageSet(data.test.images)
    found = _measured(images, data, extractor, Captioned("words"), metrics=chosen).result
    assert "kid_judge" in found.values
    assert set(found.absent) == {"fid_infinity_judge", "clip_score_w25_words"}
    assert "20" in found.absent["fid_infinity_judge"]
    assert found.absent["clip_score_w25_words"] == "the images have no captions"


def test_an_interval_does_not_leave_what_is_possible(data):
    noise = torch.randint(256, (3, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    images = ImageSet(torch.cat([data.train.images[:27], noise]))
    found = _measured(images, data, Classifier(), metrics=[PrecisionRecall]).result
    for name in ("precision_judge", "recall_judge"):
        low, high = found.values[name].interval
        assert 0 <= low < found.values[name].value < high == 1


def test_a_metric_of_reconstructions_is_refused_for_generated_images(data):
    with pytest.raises(ValueError, match="metric psnr compares images with their reconstructions"):
        _measured(_model(), data, Projection("small"), num_images=4, metrics=[PSNR])


def test_mistakes_of_a_script_are_one_line(data):
    with pytest.raises(ValueError, match=r"a DiffusionModule or an ImageSet, got a Tensor; recon"):
        _measured(data.test.images, data)
    with pytest.raises(ValueError, match=r"a Digits has no splits: .* setup\(\)"):
        _measured(_model(), Digits("digits", image_size=8))
    with pytest.raises(ValueError, match="batch_size is at least 1, got 0"):
        Generation(4, batch_size=0)


def test_a_metric_of_ones_own_is_named_in_its_traceback(data):
    class Broken(NearestImage):
        stem = "broken"

        def update(self, features, images):
            raise RuntimeError("out of ideas")

    with pytest.raises(RuntimeError, match="out of ideas") as caught:
        _measured(ImageSet(data.test.images), data, metrics=[Broken])
    assert caught.value.__notes__ == ["while metric broken was fed"]
