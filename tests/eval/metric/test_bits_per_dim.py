"""Bits per dimension as a number: mean, standard error, and a reason where there is none."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from eval.measure import Evaluation, Generation, Setting, evaluate
from eval.measure.baselines import Baselines
from eval.measure.one_pass import one_pass
from eval.measure.plan import Measurement, Plan
from eval.measure.reference_features import ReferenceFeatures
from eval.measure.values import values_of
from eval.metric import BitsPerDim, NearestImage
from eval.result.record import Result, Value
from eval.source.batch import Images
from eval.source.likelihood import with_likelihood
from eval.source.reference_set import ReferenceSet
from eval.table.formatting import notes
from eval.table.metric_columns import columns_of
from eval.table.table import compare
from zoo import DDPM
from zoo.conditioner import ClassLabel, Unconditional
from zoo.data import ImageSet
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.sampler import DDIM
from zoo.schedule import Linear


class Model:
    """Its "bound" of an image is 3 more than its mean value; it remembers its arguments."""

    def __init__(self, conditioner=None):
        self.conditioner = conditioner or Unconditional()
        self.calls = []

    def bits_per_dim(self, images, condition=None, num_steps=None, seed=0, *, indices=None):
        self.calls.append((condition, num_steps, seed, list(indices)))
        return 3 + images.flatten(1).mean(1)


def numbers(count, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.arange(count) % 3)


@pytest.fixture
def split():
    return numbers(20, 0)


def measured(model, split, count, num_steps=None, seed=0, batch_size=256) -> Value:
    """The number of a model on held-out images."""
    factory = partial(BitsPerDim, num_images=count, num_steps=num_steps)
    plan = Plan((Measurement(factory, None, count),), {})
    images = with_likelihood(model, split, count, num_steps, seed, batch_size)
    values, _ = values_of(one_pass(images, plan, ReferenceFeatures(plan), count), Baselines())
    return values["bits_per_dim"]


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_mean_and_standard_error_are_those_of_all_images(split, batch_size) -> None:
    value = measured(Model(), split, 20, batch_size=batch_size)
    each = 3 + (split.images.double() / 127.5 - 1).flatten(1).mean(1)
    assert value.value == pytest.approx(each.mean().item(), rel=1e-6)
    assert value.standard_error == pytest.approx(each.std().item() / math.sqrt(20), rel=1e-5)
    assert value.interval[0] < value.value < value.interval[1]  # of ten blocks
    assert (value.num_images, value.higher_is_better) == (20, False)
    assert (value.title, value.unit, value.extractor) == ("bits/dim", "bits", None)
    torch.testing.assert_close(
        torch.tensor(value.blocks).double(), each.reshape(10, 2).mean(1), rtol=1e-5, atol=0
    )


def test_a_few_images_have_a_standard_error_and_no_blocks(split) -> None:
    value = measured(Model(), split, 2)
    each = 3 + (split.images[[0, 19]].double() / 127.5 - 1).flatten(1).mean(1)
    assert value.standard_error == pytest.approx(each.std().item() / math.sqrt(2), rel=1e-5)
    assert value.interval is None
    assert value.blocks == []


def test_images_are_spread_over_the_split_and_come_with_their_labels(split) -> None:
    model = Model(ClassLabel(3))
    value = measured(model, split, 5, num_steps=7, seed=4, batch_size=2)
    labels = torch.cat([call[0] for call in model.calls]).tolist()
    assert labels == [row % 3 for row in (0, 5, 10, 14, 19)]
    assert [call[1:] for call in model.calls] == [(7, 4, [0, 1]), (7, 4, [2, 3]), (7, 4, [4])]
    assert "of 5 held-out images" in value.definition and "over 7 steps" in value.definition
    assert "over all steps" in measured(model, split, 5).definition


def test_two_metrics_merge_into_one() -> None:
    bits = torch.tensor([2.0, 3.0, 5.0, 2.5])
    whole, first, second, single = (BitsPerDim() for _ in range(4))
    for metric, rows in ((whole, bits), (first, bits[:1]), (second, bits[1:]), (single, bits[:1])):
        blank = torch.zeros(len(rows), 1, 1, 1, dtype=torch.uint8)
        metric.update({"bits_per_dim": rows}, Images(blank))
    first.merge_state(second)
    assert first.compute() == pytest.approx(whole.compute(), rel=1e-12)
    error = first.standard_error("bits_per_dim")
    assert error == pytest.approx(bits.double().std().item() / 2, rel=1e-12)
    assert single.standard_error("bits_per_dim") is None


def model(**parts) -> DDPM:
    torch.manual_seed(0)
    network = UNet(1, 1, 4, (1,), 1, attention_at=(), norm_groups=4)
    return DDPM(network, GaussianDiffusion(Linear()), (1, 4, 4), DDIM(2), **parts).eval()


def evaluated(subject, test, count=None, num_steps=2, others=()) -> Evaluation:
    data = ReferenceSet("numbers", (1, 4, 4), numbers(8, 1), test)
    metric = partial(BitsPerDim, num_images=count, num_steps=num_steps)
    return evaluate(Setting(subject, data, [metric, *others], generation=Generation(4)))


def test_a_model_is_measured_on_all_held_out_images_or_on_num_images(split) -> None:
    assert evaluated(model(), split).result.values["bits_per_dim"].num_images == 20
    result = evaluated(model(), split, 3).result
    assert result.values["bits_per_dim"].num_images == 3
    assert result.values["bits_per_dim"].standard_error > 0
    assert result.protocol.metrics["bits_per_dim"] == "BitsPerDim, num_images 3, num_steps 2"


@pytest.mark.parametrize(
    ("count", "num_steps", "message"),
    [
        (1, 2, "num_images is a whole number from 2 to 20, the held-out images of numbers, got 1"),
        (21, 2, "num_images is a whole number from 2 to 20, the .* got 21"),
        ("ten", 2, "num_images is a whole number from 2 to 20, the .* got 'ten'"),
        (3, 0, "num_steps is a whole number from 1, got 0"),
    ],
)
def test_a_wrong_count_is_refused_before_images_are_generated(
    split, monkeypatch, count, num_steps, message
) -> None:
    monkeypatch.setattr(DDPM, "generate", lambda *_, **__: pytest.fail("it generated"))
    with pytest.raises(ValueError, match=rf"metric.bits_per_dim.{message}$"):
        evaluated(model(), split, count, num_steps)


def test_what_has_no_such_number_gets_a_reason(split, monkeypatch) -> None:
    def reason(subject, test):
        with pytest.raises(ValueError, match="nothing to measure: bits_per_dim: "):
            evaluated(subject, test)
        result = evaluated(subject, test, others=[NearestImage]).result
        assert "bits_per_dim" not in result.values
        return result.absent["bits_per_dim"]

    assert reason(numbers(4, 2), split).startswith("images have no model")
    assert reason(model(), None) == "there are no held-out images: say held_out=..."
    latent = model()
    monkeypatch.setattr(type(latent.first_stage), "bounds", None)
    assert reason(latent, split).startswith("a latent model diffuses no 8-bit values")


@pytest.mark.parametrize("kind", ["labels", "captions"])
def test_images_without_what_the_model_reads_are_refused(split, kind) -> None:
    split.labels = None
    conditioner = ClassLabel(3) if kind == "labels" else SimpleNamespace()
    with pytest.raises(ValueError, match=f"need the held-out images' {kind}, which they lack"):
        measured(Model(conditioner), split, 4)


def test_a_table_shows_the_error_and_the_reason_for_a_missing_cell(make_result) -> None:
    pixel, latent = make_result("ddpm"), make_result("latent_diffusion", latent=True)
    value = Value(3.125, "Bits.", False, num_images=20, standard_error=0.021, title="bits/dim")
    pixel.values["bits_per_dim"] = value
    latent.absent["bits_per_dim"] = "latents"
    assert notes(value) == ["standard error 0.0210"]
    table = compare([pixel, latent])
    keys = [column.key for column in columns_of([pixel, latent])]
    first, second = (dict(zip(keys, cells, strict=True)) for _, cells in table.rows)
    assert first["bits_per_dim"].note == "standard error 0.0210"
    assert first["bits_per_dim_standard_error"].value == 0.021
    assert (second["bits_per_dim"].text, second["bits_per_dim"].note) == ("–", "latents")
    assert Result.from_json(latent.to_json()) == latent
    assert "bits/dim ↓" in {column.title for column in table.columns}
