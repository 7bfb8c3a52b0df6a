from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import zoo
from zoo.callbacks.cost import training_flops
from zoo.performance.flops import flops
from zoo.records import Condition


def data(shape=(1, 16, 16), condition="none", **columns):
    return SimpleNamespace(shape=shape, condition=condition, train=SimpleNamespace(**columns))


def test_an_unconditional_pixel_model_costs_three_forward_passes():
    module = zoo.load("digits/ddpm")
    x = torch.zeros(1, 1, 16, 16)
    with torch.no_grad():
        forward = flops(lambda: module.denoiser(x, torch.zeros(1), Condition()))
    assert training_flops(module, data()) == 3 * forward
    assert not module.training


def test_a_latent_model_encodes_first_unless_latents_are_ready():
    module = zoo.load("digits/guided_latent_diffusion")
    of = data(condition="label", labels=torch.tensor([3]))
    with torch.no_grad():
        encoding = flops(lambda: module.first_stage.moments(torch.zeros(1, 1, 16, 16)))
    ready = SimpleNamespace(**vars(of), latents=object())
    assert training_flops(module, of) - training_flops(module, ready) == encoding > 0


@pytest.mark.parametrize("name", ["autoencoder", "small_extractor", "small_clip"])
def test_other_models_are_counted_too(name):
    assert training_flops(zoo.load(f"digits/{name}"), data()) > 10_000


def test_captions_reach_the_text_encoder():
    module = zoo.load("digits/latent_diffusion")
    of = data(condition="caption", captions=["a photo of the digit three"])
    assert training_flops(module, of) > 0


def test_a_network_that_reads_values_is_not_counted():
    module = zoo.load("digits/ddpm")

    def forward(x, t, condition):
        return x * float(x.sum())

    module.denoiser.forward = forward
    assert training_flops(module, data()) is None
