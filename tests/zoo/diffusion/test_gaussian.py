"""The diffusion's formulas against torch.distributions, Bayes' rule and diffusers."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDPMScheduler
from torch.distributions import Normal, kl_divergence

from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.likelihood import discretized_gaussian_nll
from zoo.diffusion.objective import Hybrid, Simple, Vlb
from zoo.diffusion.parameterization import X0, Epsilon, Velocity
from zoo.diffusion.posterior import log_variance, posterior, variance_floor
from zoo.diffusion.variance import FixedVariance, LearnedVariance
from zoo.records import Prediction
from zoo.schedule import Cosine, Linear

SHAPE = (6, 2, 4, 4)
LEARNED = {"variance": LearnedVariance(), "objective": Hybrid()}


def normal(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*(shape or SHAPE), dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("schedule", [Linear(), Cosine()])
@pytest.mark.parametrize(("now", "to"), [(2, 1), (500, 499), (1000, 999), (1000, 40), (3, 0)])
def test_posterior_is_bayes_rule(schedule, now, to) -> None:
    """The product of q(now | to) and q(to | x0), normalised by completing the square."""
    noisy, clean = schedule(now), schedule(to)
    c_x, c_x0, beta, small = posterior(noisy, clean)
    ratio = noisy.alpha / clean.alpha
    assert beta == pytest.approx(1 - ratio**2, rel=1e-6)  # a difference of nearly equal numbers
    if to:
        precision = ratio**2 / beta + 1 / clean.sigma**2
        assert small == pytest.approx(1 / precision, rel=1e-9)
        assert c_x == pytest.approx(ratio / beta / precision, rel=1e-9)
        assert c_x0 == pytest.approx(clean.alpha / clean.sigma**2 / precision, rel=1e-9)
    else:
        assert (c_x, c_x0, small) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("t", [1, 2, 17, 500, 1000])
def test_learned_variance_equals_diffusers_learned_range(t: int) -> None:
    peer = DDPMScheduler(1000, 1e-4, 0.02, variance_type="learned_range", clip_sample=False)
    schedule, raw = Linear(), normal(0).clamp(-1, 1)
    levels = schedule.levels([t, t - 1])
    _, _, beta, small = posterior(*levels)
    floor = variance_floor(schedule.levels([2, 1, 0]))
    ours = log_variance((raw + 1) / 2, beta, small, floor)
    if t > 1:  # diffusers floors the last at 1e-20, the papers at the second posterior variance
        theirs = peer._get_variance(t - 1, predicted_variance=raw.float())
        torch.testing.assert_close(ours.float(), theirs, rtol=1e-3, atol=1e-3)
    else:
        expected = (raw + 1) / 2 * math.log(1e-4) + (1 - raw) / 2 * math.log(floor)
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [Epsilon, X0, Velocity])
def test_reading_the_target_gives_back_x0(kind) -> None:
    diffusion = GaussianDiffusion(Cosine(), kind())
    x0, noise, t = normal(1), normal(2), torch.tensor([1.0, 2, 100, 500, 900, 990]).double()
    noised = diffusion.noise(x0, t, noise)
    alpha, sigma = (v.reshape(-1, 1, 1, 1) for v in noised.level[1:3])
    target = diffusion.parameterization.target(x0, noise, alpha, sigma)
    torch.testing.assert_close(diffusion.predict(target, noised.x, noised.level).x0, x0)
    for i, time in enumerate(t):  # the same with Python floats
        single = diffusion.predict(
            target[i : i + 1], noised.x[i : i + 1], diffusion.schedule(time.item())
        )
        torch.testing.assert_close(single.x0, x0[i : i + 1])
    torch.testing.assert_close(diffusion.mse(noised, target), torch.zeros(6, dtype=torch.float64))


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.3])
def test_vlb_term_is_the_kl_of_the_two_steps(fraction: float) -> None:
    diffusion = GaussianDiffusion(Linear(), variance=FixedVariance(fraction))
    x0, x, guess = normal(1), normal(2), normal(3)
    for t in (2, 3, 400, 1000):
        now, to = diffusion.schedule(float(t)), diffusion.schedule(float(t - 1))
        c_x, c_x0, beta, small = posterior(now, to)
        true = Normal(c_x * x + c_x0 * x0, small**0.5)
        predicted = Normal(
            c_x * x + c_x0 * guess,
            math.exp(0.5 * (fraction * math.log(beta) + (1 - fraction) * math.log(small))),
        )
        expected = kl_divergence(true, predicted).flatten(1).mean(1) / math.log(2)
        term = diffusion.vlb_term(x0, Prediction(guess, fraction), now, to, diffusion.floor)
        torch.testing.assert_close(term, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_fixed_variance_takes_the_floor_where_the_target_is_clean(fraction) -> None:
    """As the papers' code does, for beta too: the decoder's scale belongs to the chain."""
    schedule = Linear()
    floor = variance_floor(schedule.levels([2, 1, 0]))
    _, _, beta, small = posterior(*schedule.levels([1, 0]))
    assert log_variance(fraction, beta, small, floor) == pytest.approx(math.log(floor))
    _, _, betas, smalls = posterior(schedule(torch.tensor([1.0])), schedule(torch.tensor([0.0])))
    batched = log_variance(fraction, betas, smalls, torch.tensor(floor).double())
    assert batched.item() == pytest.approx(math.log(floor))
    learned = log_variance(torch.tensor([fraction]).double(), betas, smalls, torch.tensor(floor))
    expected = fraction * math.log(1e-4) + (1 - fraction) * math.log(floor)
    assert learned.item() == pytest.approx(expected)


def test_batched_levels_give_the_terms_of_single_ones() -> None:
    diffusion = GaussianDiffusion(Cosine(), **LEARNED)
    x0 = normal(1).clamp(-1, 1)
    t = torch.tensor([1.0, 2, 10, 300, 999, 1000]).double()
    noised = diffusion.noise(x0, t, normal(2))
    output = normal(3, 6, 4, 4, 4)
    together = diffusion.vlb(noised, output)
    for i, time in enumerate(t):
        now, to = diffusion.schedule.levels([time.item(), time.item() - 1])
        prediction = diffusion.predict(output[i : i + 1], noised.x[i : i + 1], now)
        single = diffusion.vlb_term(x0[i : i + 1], prediction, now, to, diffusion.floor)
        torch.testing.assert_close(together[i : i + 1], single, rtol=1e-8, atol=1e-10)


def test_discretized_likelihood_sums_to_one_over_all_bins() -> None:
    values = torch.linspace(-1, 1, 256, dtype=torch.float64)
    for mean, log_var in ((0.0, -4.0), (0.9, -8.0), (-1.0, -10.0)):
        nll = discretized_gaussian_nll(values, torch.full_like(values, mean), log_var)
        assert torch.exp(-nll).sum().item() == pytest.approx(1.0, abs=1e-9)


def test_discretized_likelihood_is_near_the_exact_mass() -> None:
    values = torch.linspace(-1, 1, 256, dtype=torch.float64)[1:-1]
    exact = Normal(0.1, 0.3)
    mass = exact.cdf(values + 1 / 255) - exact.cdf(values - 1 / 255)
    nll = discretized_gaussian_nll(values, torch.full_like(values, 0.1), 2 * math.log(0.3))
    torch.testing.assert_close(torch.exp(-nll), mass, rtol=0.02, atol=2e-5)


def test_hybrid_sends_no_gradient_of_the_bound_into_the_mean() -> None:
    diffusion = GaussianDiffusion(Cosine(), **LEARNED)
    noised = diffusion.noise(normal(1), torch.arange(1.0, 7.0).double(), normal(2))
    output = normal(3, 6, 4, 4, 4).requires_grad_()
    losses = diffusion.losses(noised, output)
    hybrid = torch.autograd.grad(losses["loss"].sum(), output, retain_graph=True)[0]
    mse = torch.autograd.grad(losses["mse"].sum(), output, retain_graph=True)[0]
    assert torch.equal(hybrid[:, :2], mse[:, :2])
    assert (hybrid[:, 2:] != 0).all() and (mse[:, 2:] == 0).all()
    torch.testing.assert_close(losses["loss"], losses["mse"] + losses["vlb"])  # 0.001 T = 1


def test_vlb_reaches_mean_and_variance() -> None:
    diffusion = GaussianDiffusion(Cosine(), variance=LearnedVariance(), objective=Vlb())
    noised = diffusion.noise(normal(1), torch.arange(2.0, 8.0).double(), normal(2))
    output = normal(3, 6, 4, 4, 4).requires_grad_()
    diffusion.losses(noised, output)["loss"].sum().backward()
    assert output.grad is not None and (output.grad != 0).all()


def test_the_optimal_fraction_of_a_gaussian_is_found_by_the_bound() -> None:
    """For N(0, s^2) the reverse step is Gaussian: its true variance minimises the bound."""
    diffusion = GaussianDiffusion(Linear())
    now, to = diffusion.schedule.levels([400.0, 399.0])
    std = 0.5
    gain = now.alpha * std**2 / (now.alpha**2 * std**2 + now.sigma**2)
    _, c_x0, beta, small = posterior(now, to)
    spread = std**2 * now.sigma**2 / (now.alpha**2 * std**2 + now.sigma**2)  # Var[x0 | x]
    true = math.log(small + c_x0**2 * spread)
    optimum = (true - math.log(small)) / (math.log(beta) - math.log(small))
    x0 = normal(1, 4000, 1, 4, 4) * std
    x = now.alpha * x0 + now.sigma * normal(2, 4000, 1, 4, 4)
    fractions = torch.linspace(0, 1, 41, dtype=torch.float64)
    terms = [
        diffusion.vlb_term(x0, Prediction(gain * x, float(f)), now, to, 1.0).mean()
        for f in fractions
    ]
    best = fractions[int(torch.stack(terms).argmin())].item()
    assert best == pytest.approx(optimum, abs=0.06)


def test_objectives_that_cannot_train_the_variance_are_refused() -> None:
    with pytest.raises(ValueError, match="no gradient"):
        GaussianDiffusion(Linear(), variance=LearnedVariance(), objective=Simple())
    with pytest.raises(ValueError, match="learned variance, got FixedVariance"):
        GaussianDiffusion(Linear(), objective=Hybrid())
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        FixedVariance(2.0)


def test_the_bound_needs_no_signal_at_the_prior() -> None:
    diffusion = GaussianDiffusion(Cosine())
    prior = diffusion.prior_term(normal(1).clamp(-1, 1), diffusion.schedule(1000.0))
    assert (prior >= 0).all() and (prior < 1e-6).all()
