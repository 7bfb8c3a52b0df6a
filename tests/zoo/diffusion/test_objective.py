"""The objectives beside L_hybrid and L_vlb, and which parts go together."""

from __future__ import annotations

import math

import pytest
import torch

from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.objective import MinSNR, SimpleL1
from zoo.diffusion.parameterization import X0, Epsilon, Velocity
from zoo.diffusion.variance import LearnedVariance
from zoo.schedule import Linear, ZeroTerminalSNR

T = torch.tensor([1.0, 40, 300, 500, 900, 1000]).double()
WEIGHTS = {  # of the output's squared error, as a function of the SNR (arXiv:2303.09556, sec. 3.4)
    Epsilon: lambda snr: min(snr, 5.0) / snr,
    X0: lambda snr: min(snr, 5.0),
    Velocity: lambda snr: min(snr, 5.0) / (snr + 1),
}


def normal(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(T), 2, 4, 4, dtype=torch.float64, generator=generator)


def outputs(diffusion: GaussianDiffusion):
    return diffusion.noise(normal(1), T, normal(2)), normal(3).float()


@pytest.mark.parametrize("kind", WEIGHTS)
def test_min_snr_weights_are_the_papers(kind) -> None:
    diffusion = GaussianDiffusion(Linear(), kind(), objective=MinSNR(5.0))
    noised, output = outputs(diffusion)
    losses = diffusion.losses(noised, output)
    snr = (noised.level.alpha / noised.level.sigma) ** 2
    assert (snr > 5).any() and (snr < 5).any()
    expected = torch.tensor([WEIGHTS[kind](value) for value in snr.tolist()])
    torch.testing.assert_close(losses["loss"], expected.to(losses["mse"]) * losses["mse"])
    torch.testing.assert_close(losses["mse"], diffusion.mse(noised, output))


@pytest.mark.parametrize("kind", WEIGHTS)
def test_min_snr_weighs_errors_of_x0_alike_in_every_parameterization(kind) -> None:
    diffusion = GaussianDiffusion(Linear(), kind(), objective=MinSNR(2.0))
    noised, output = outputs(diffusion)
    x0 = diffusion.predict(output.double(), noised.x, noised.level).x0
    error = ((x0 - noised.x0) ** 2).flatten(1).mean(1)
    snr = (noised.level.alpha / noised.level.sigma) ** 2
    losses = diffusion.losses(noised, output)["loss"].double()
    torch.testing.assert_close(losses, snr.clamp(max=2.0) * error, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", [X0, Velocity])
def test_min_snr_is_finite_where_there_is_no_signal(kind) -> None:
    diffusion = GaussianDiffusion(ZeroTerminalSNR(Linear()), kind(), objective=MinSNR())
    noised, output = outputs(diffusion)
    output.requires_grad_()
    loss = diffusion.losses(noised, output)["loss"]
    loss.sum().backward()
    assert loss.isfinite().all() and output.grad.isfinite().all()
    assert loss[-1] == 0 and (loss[:-1] > 0).all()


def test_the_absolute_error_is_that_of_the_noise() -> None:
    diffusion = GaussianDiffusion(Linear(), objective=SimpleL1())
    noised, output = outputs(diffusion)
    expected = (output - noised.noise).abs().flatten(1).mean(1)
    torch.testing.assert_close(diffusion.losses(noised, output)["loss"].double(), expected)


def test_a_learned_variance_and_an_impossible_gamma_are_refused() -> None:
    for objective, name in ((SimpleL1(), "L_simple"), (MinSNR(), "min-SNR weighting")):
        with pytest.raises(ValueError, match=f"{name} gives a learned variance no gradient"):
            GaussianDiffusion(Linear(), variance=LearnedVariance(), objective=objective)
    for gamma in (0, -1):
        with pytest.raises(ValueError, match="must be positive"):
            MinSNR(gamma)


def test_noise_cannot_be_read_where_a_schedule_ends_in_noise() -> None:
    schedule = ZeroTerminalSNR(Linear())
    remedy = r"use parameterization=velocity or parameterization=x0"
    with pytest.raises(ValueError, match=rf"where ZeroTerminalSNR ends in pure noise .*: {remedy}"):
        GaussianDiffusion(schedule)
    for kind in (Velocity, X0):
        diffusion = GaussianDiffusion(schedule, kind())
        level = schedule(1000.0)
        noise, x0 = normal(1), normal(2)
        target = diffusion.parameterization.target(x0, noise, level.alpha, level.sigma)
        assert torch.equal(diffusion.predict(target, noise, level).x0, x0)
        assert math.isfinite(diffusion.floor)
