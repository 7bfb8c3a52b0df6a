"""The bound's terms add up, and close in on the entropy of data whose denoiser is known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.distributions import Normal

from zoo.diffusion.bound import variational_bound
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.objective import Vlb
from zoo.diffusion.posterior import posterior, variance_floor
from zoo.diffusion.variance import LearnedVariance
from zoo.draw import Draw
from zoo.records import Prediction
from zoo.sampler.grid import respaced, trailing
from zoo.schedule import Cosine, Linear

STD = 0.3


def eight_bit(count: int, size: int) -> torch.Tensor:
    drawn = STD * Draw(0, range(count), "data").normal(torch.zeros(count, size).double())
    return ((drawn.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def denoiser(schedule, fraction: float | None = None):
    """The posterior mean of N(0, STD^2) data; the true reverse variance where fraction is None."""

    def predict(x, level):
        total = level.alpha**2 * STD**2 + level.sigma**2
        share = torch.full_like(x, fraction if fraction is not None else best(level, total))
        return Prediction((level.alpha * STD**2 / total * x).clamp(-1, 1), share)

    def best(level, total: float) -> float:
        if level.t == 1:
            return 1.0  # beta_1, which is the variance of x0 given x1
        _, c_x0, beta, small = posterior(level, schedule(level.t - 1))
        true = small + c_x0**2 * STD**2 * level.sigma**2 / total
        return math.log(true / small) / math.log(beta / small)

    return predict


def exact() -> float:
    """The entropy of a rounded Gaussian, in bits."""
    values = torch.linspace(-1, 1, 256, dtype=torch.float64)
    edges = (values[:-1] + values[1:]) / 2
    below = Normal(0.0, STD).cdf(edges)
    mass = torch.cat([below[:1], below.diff(), 1 - below[-1:]])
    return -(mass * mass.log2()).sum().item()


def test_the_bound_of_a_gaussian_lies_just_above_its_entropy() -> None:
    schedule = Linear()
    diffusion = GaussianDiffusion(schedule, variance=LearnedVariance(), objective=Vlb())
    levels = schedule.levels(trailing(schedule, 1000))
    x0 = eight_bit(16, 256)

    def bound(fraction: float | None):
        predict = denoiser(schedule, fraction)
        return variational_bound(diffusion, predict, x0, levels, Draw(0, range(16), "noise"))

    best = bound(None)
    error = best.total.std().item() / math.sqrt(16)
    assert -3 * error < best.total.mean().item() - exact() < 0.05 + 3 * error
    for fraction in (0.0, 0.5, 1.0):
        assert (bound(fraction).total > best.total).all()
    assert best.steps.shape == (16, 999) and best.mse.shape == (16, 1000)
    assert (best.steps > 0).all() and (best.prior < 1e-4).all()
    first, last = best.mse[:, 0].mean().item(), best.mse[:, -1].mean().item()
    assert first == pytest.approx(STD**2, rel=0.1) and last < 2e-4


def test_the_terms_add_up_to_what_single_levels_give() -> None:
    schedule = Cosine(50)
    diffusion = GaussianDiffusion(schedule)
    levels = schedule.levels(respaced(schedule, 9, "4,5"))
    x0, predict = eight_bit(2, 16), denoiser(schedule, 0.3)
    bound = variational_bound(diffusion, predict, x0, levels, Draw(0, range(2), "noise"))
    draw, terms = Draw(0, range(2), "noise"), []
    floor = variance_floor(levels)
    for now, to in pairwise(levels):
        x = now.alpha * x0 + now.sigma * draw.normal(x0)
        terms.append(diffusion.vlb_term(x0, predict(x, now), now, to, floor))
    torch.testing.assert_close(bound.steps, torch.stack(terms[:-1], dim=1), rtol=1e-12, atol=0)
    torch.testing.assert_close(bound.decoder, terms[-1], rtol=1e-12, atol=0)
    torch.testing.assert_close(bound.prior, diffusion.prior_term(x0, levels[0]))
    torch.testing.assert_close(bound.total, bound.prior + sum(terms), rtol=1e-12, atol=0)


def test_a_thousand_terms_in_float32_lose_less_than_a_thousandth_of_a_bit() -> None:
    schedule = Cosine()
    levels = schedule.levels(trailing(schedule, 1000))
    x0 = eight_bit(4, 64)
    double, single = (
        variational_bound(
            GaussianDiffusion(schedule),
            denoiser(schedule, 0.5),
            data,
            levels,
            Draw(0, range(4), "noise"),
        ).total
        for data in (x0, x0.float())
    )
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-3)


def test_a_chain_of_one_step_has_a_decoder_term_alone_and_one_that_stays_noisy_none() -> None:
    schedule = Linear()
    x0, draw = eight_bit(2, 16), Draw(0, range(2), "noise")
    arguments = (GaussianDiffusion(schedule), denoiser(schedule, 0.0), x0)
    bound = variational_bound(*arguments, schedule.levels([1000.0, 0.0]), draw)
    assert bound.steps.shape == (2, 0)
    torch.testing.assert_close(bound.total, bound.prior + bound.decoder)
    with pytest.raises(ValueError, match="ends at t = 0, got t = 1"):
        variational_bound(*arguments, schedule.levels([1000.0, 1.0]), draw)
