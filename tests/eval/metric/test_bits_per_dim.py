"""Bits per dimension as a figure: mean, standard error, and a reason where there is none."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from eval.metric.bits_per_dim import BitsPerDim, bits_per_dim
from eval.result.record import Result, Value
from eval.table.metric_columns import columns_of, notes
from eval.table.table import compare
from zoo.conditioner import ClassLabel, Unconditional
from zoo.data import ImageSet
from zoo.records import Batch


class Model:
    """Its "bound" of an image is its mean value; it remembers what it was asked."""

    def __init__(self, bounds=(-1, 1), conditioner=None):
        self.first_stage = SimpleNamespace(bounds=bounds)
        self.conditioner = conditioner or Unconditional()
        self.asked = []

    def bits_per_dim(self, images, condition=None, num_steps=None, seed=0, *, indices=None):
        self.asked.append((condition, num_steps, seed, list(indices)))
        return 3 + images.flatten(1).mean(1)


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (20, 1, 4, 4), generator=generator, dtype=torch.uint8)
    return SimpleNamespace(name="numbers", test=ImageSet(images, torch.arange(20) % 3))


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_mean_and_standard_error_are_those_of_all_images(data, batch_size) -> None:
    value = bits_per_dim(Model(), data, 20, batch_size=batch_size)
    each = 3 + (data.test.images.double() / 127.5 - 1).flatten(1).mean(1)
    assert value.value == pytest.approx(each.mean().item(), rel=1e-6)
    assert value.standard_error == pytest.approx(each.std().item() / math.sqrt(20), rel=1e-5)
    assert (value.num_images, value.higher_is_better) == (20, False)
    torch.testing.assert_close(
        torch.tensor(value.blocks).double(), each.reshape(10, 2).mean(1), rtol=1e-5, atol=0
    )


def test_images_are_spread_over_the_split_and_come_with_their_labels(data) -> None:
    model = Model(conditioner=ClassLabel(3))
    value = bits_per_dim(model, data, 5, num_steps=7, seed=4, batch_size=2)
    labels = torch.cat([asked[0] for asked in model.asked]).tolist()
    assert labels == [row % 3 for row in (0, 5, 10, 14, 19)]
    assert [asked[1:] for asked in model.asked] == [(7, 4, [0, 1]), (7, 4, [2, 3]), (7, 4, [4])]
    assert "over 7 steps" in value.definition


def test_two_metrics_merge_into_one() -> None:
    bits = torch.tensor([2.0, 3.0, 5.0, 2.5])
    whole, first, second = BitsPerDim(), BitsPerDim(), BitsPerDim()
    for metric, rows in ((whole, bits), (first, bits[:1]), (second, bits[1:])):
        metric.update({"bits_per_dim": rows}, Batch(None, None))
    first.merge_state(second)
    assert first.compute() == pytest.approx(whole.compute(), rel=1e-12)
    one = BitsPerDim()
    one.update({"bits_per_dim": bits[:1]}, Batch(None, None))
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        one.compute()


def test_what_has_no_such_figure_gets_none(data) -> None:
    assert bits_per_dim(Model(bounds=None), data, 4) is None
    with pytest.raises(ValueError, match="2 to 20, the held-out images of numbers, got 21"):
        bits_per_dim(Model(), data, 21)
    data.test.labels = None
    with pytest.raises(ValueError, match="need the images' labels, which numbers has not"):
        bits_per_dim(Model(conditioner=ClassLabel(3)), data, 4)


def test_a_table_shows_the_error_and_the_reason_for_a_missing_cell(make_result) -> None:
    pixel, latent = make_result("ddpm"), make_result("latent_diffusion", latent=True)
    found = Value(3.125, "Bits.", False, num_images=20, standard_error=0.021)
    pixel.values["bits_per_dim"] = found
    latent.absent["bits_per_dim"] = "latents"
    assert notes(found) == ["± 0.0210"]
    table = compare([pixel, latent])
    keys = [column.key for column in columns_of([pixel, latent])]
    first, second = (dict(zip(keys, cells, strict=True)) for _, cells in table.rows)
    assert first["bits_per_dim"].note == "± 0.0210"
    assert first["bits_per_dim_standard_error"].value == 0.021
    assert (second["bits_per_dim"].text, second["bits_per_dim"].note) == ("–", "latents")
    assert Result.from_json(latent.to_json()) == latent
    assert "bits/dim ↓" in {column.title for column in table.columns}
