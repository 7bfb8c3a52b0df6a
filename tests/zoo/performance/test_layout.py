from __future__ import annotations

import copy

import pytest
import torch

import zoo
from zoo.performance.layout import arrange
from zoo.sampler import DDIM

CPU = torch.device("cpu")


def layouts(module: torch.nn.Module) -> set[bool]:
    """Whether the kernels of 3 x 3 convolutions are channels-last."""
    kernels = [p for p in module.parameters() if p.ndim == 4 and p.shape[2] == 3 and p.shape[1] > 1]
    return {kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels}


@pytest.fixture
def module() -> zoo.DDPM:
    return zoo.load("digits/ddpm")


@pytest.mark.parametrize(
    ("choice", "device", "last"),
    [
        ("auto", "cpu", True),
        ("auto", "cuda", True),
        ("auto", "mps", False),
        (True, "mps", True),
        (False, "cpu", False),
    ],
)
def test_the_choice_and_the_device_decide(module, choice, device, last):
    weights = copy.deepcopy(module.state_dict())
    arrange(module, choice, torch.device(device))
    assert layouts(module) == {last}
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)


def test_a_loaded_model_generates_channels_last_and_trains_and_saves_as_before(module, tmp_path):
    assert layouts(module) == {False}
    with torch.inference_mode():
        images = module.generate(4, sampler=DDIM(2))
    assert layouts(module) == {True}
    assert not any(p.is_inference() for p in module.parameters())
    module.save(tmp_path / "a.safetensors")
    module.train()
    assert layouts(module) == {False}
    module.eval().save(tmp_path / "b.safetensors")
    a, b = (zoo.load(tmp_path / f"{name}.safetensors").state_dict() for name in "ab")
    assert all(torch.equal(a[name], b[name]) and a[name].is_contiguous() for name in a)
    module.channels_last = False
    plain = module.generate(4, sampler=DDIM(2))
    assert layouts(module) == {False}
    assert (images.int() - plain.int()).abs().max() <= 1


def test_both_layouts_predict_the_same(module):
    x = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    condition = module.conditioner(torch.arange(4))
    with torch.inference_mode():
        plain = module.predict(x, 500.0, condition).x0
        arrange(module, True, CPU)
        arranged = module.predict(x, 500.0, condition).x0
    torch.testing.assert_close(arranged, plain, rtol=1e-4, atol=1e-5)


def test_a_model_in_training_keeps_its_layout(module):
    module.train().generate(2, sampler=DDIM(1))
    assert module.training
    assert layouts(module) == {False}
