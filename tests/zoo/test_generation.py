"""What the way from noise to 8-bit images refuses."""

from __future__ import annotations

import pytest
import torch

import zoo
from zoo.conditioner import Unconditional
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.generation import BrokenImages
from zoo.sampler import DDIM
from zoo.schedule import Linear


def test_an_image_with_nan_is_named_and_not_black():
    net = UNet(1, 1, 8, (1, 2), 1, norm_groups=4)
    model = zoo.DDPM(net, GaussianDiffusion(Linear()), (1, 8, 8), DDIM(2), Unconditional()).eval()
    assert model.generate(3, seed=4).shape == (3, 1, 8, 8)
    with torch.no_grad():
        next(net.parameters()).fill_(torch.nan)
    with pytest.raises(BrokenImages, match=r"2 of 2 generated images hold NaN, .* image 5 of seed"):
        model.generate(2, seed=4, indices=[5, 9])
