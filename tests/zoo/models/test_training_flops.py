from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import zoo
from zoo.models.training_flops import training_flops
from zoo.performance.flops import flops


def data(shape=(1, 16, 16), condition="label", **columns):
    columns = columns or {"labels": torch.tensor([3, 4])}
    return SimpleNamespace(shape=shape, condition=condition, train=SimpleNamespace(**columns))


def test_a_pixel_model_costs_three_forward_passes():
    module = zoo.load("digits/ddpm")
    x, condition = torch.zeros(1, 1, 16, 16), module.conditioner(torch.tensor([3]))
    with torch.no_grad():
        forward = flops(lambda: module.denoiser(x, torch.zeros(1), condition))
    assert training_flops(module, data()) == 3 * forward
    assert not module.training


def test_a_latent_model_encodes_first_unless_latents_are_ready():
    module = zoo.load("digits/guided_latent_diffusion")
    with torch.no_grad():
        encoding = flops(lambda: module.first_stage.moments(torch.zeros(1, 1, 16, 16)))
    ready = SimpleNamespace(**vars(data()), moments=object())
    assert training_flops(module, data()) - training_flops(module, ready) == encoding > 0


@pytest.mark.parametrize("name", ["autoencoder", "small_extractor", "small_clip"])
def test_other_models_are_counted_too(name):
    assert training_flops(zoo.load(f"digits/{name}"), data()) > 10_000


def test_a_caption_of_the_data_is_what_is_conditioned_on():
    module, seen = zoo.load("digits/ddpm"), []
    own = module.conditioner

    def conditioner(raw):
        seen.append(raw)
        return own(torch.tensor([3]))

    module.conditioner = conditioner
    assert training_flops(module, data(condition="caption", captions=["a three", "a four"])) > 0
    assert seen == [["a three"]]


def test_a_network_that_reads_values_is_not_counted():
    module = zoo.load("digits/ddpm")
    module.denoiser.forward = lambda x, t, condition: x * float(x.sum())
    assert training_flops(module, data()) is None
