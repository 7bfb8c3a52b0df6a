"""Every sampler draws from every kind of model, with as many network evaluations as it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

import zoo
from zoo import paths
from zoo.checkpoint.build import build
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.objective import Hybrid, Simple
from zoo.diffusion.parameterization import X0, Epsilon, Velocity
from zoo.diffusion.variance import FixedVariance, LearnedVariance
from zoo.first_stage import Identity
from zoo.module import DiffusionModule
from zoo.records import Condition
from zoo.schedule import Cosine, FromBetas

CONFIGS = sorted((paths.configs() / "sampler").glob("*.yaml"))
SHORT = FromBetas(torch.linspace(1e-3, 0.3, 24, dtype=torch.float64).tolist())


class Tiny(nn.Module):
    """One convolution with drawn weights, to as many channels as the variance asks for."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, factor * channels, 3, padding=1)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.conv.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.conv(x)


class Halving(Identity):
    """Latents of half the size and no bounds, like an autoencoder's."""

    bounds = None

    def latent_shape(self, image_shape):
        channels, height, width = image_shape
        return channels, height // 2, width // 2

    def decode(self, latents: Tensor) -> Tensor:
        return latents.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:the walk starts from pure noise")  # PLMS with few steps
@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_model_is_drawn_from(file: Path) -> None:
    config = yaml.safe_load(file.read_text())
    for parameterization in (Epsilon(), X0(), Velocity()):
        for variance, objective in ((FixedVariance(1.0), Simple()), (LearnedVariance(), Hybrid())):
            for first_stage in (Identity(), Halving()):
                sampler = build({**config, "num_steps": 4})
                module = DiffusionModule(
                    Tiny(3, variance.channels_factor),
                    GaussianDiffusion(SHORT, parameterization, variance, objective),
                    first_stage,
                    (3, 8, 8),
                    sampler,
                )
                images = module.generate(3, batch_size=2)
                assert images.shape == (3, 3, 8, 8)
                assert images.dtype == torch.uint8
                expected = 3 * sampler.evaluations(sampler.levels(SHORT))
                assert module.network_evaluations == expected


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:the walk starts from pure noise")  # PLMS with few steps
@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_an_image_is_the_same_in_any_batch(file: Path) -> None:
    sampler = build({**yaml.safe_load(file.read_text()), "num_steps": 4})
    module = zoo.DDPM(Tiny(3, 1), GaussianDiffusion(Cosine()), (3, 8, 8), sampler)
    whole = module.generate(4, seed=3)
    again = module.generate(2, seed=3, indices=[2, 3])
    assert torch.equal(whole[2:], again)
