"""Checks of where a walk ends: at the data, along the flow, at its own prediction."""

from __future__ import annotations

import torch

from zoo.conformance.data import GAUSSIAN, MIXTURE, Mixture
from zoo.conformance.verdict import Verdict
from zoo.conformance.walk import flow_errors, noise, slope, walk, with_steps
from zoo.records import Level, Prediction
from zoo.sampler import Sampler
from zoo.schedule import Linear

_STEPS, _PIXELS, _OFF, _MARGIN = 250, 8192, 0.06, 0.1


def gaussian(sampler: Sampler) -> Verdict:
    """With the optimal denoiser of N(0.3, 0.5^2), mean and std of many pixels are the data's.

    250 steps from the exact first marginal; each within 6 % of the data's std.
    """
    pixels = _pixels(sampler, GAUSSIAN)
    mean, std = GAUSSIAN.means[0], GAUSSIAN.stds[0]
    off_mean, off_std = (pixels.mean().item() - mean) / std, pixels.std().item() / std - 1
    return Verdict(
        "Gaussian data",
        max(abs(off_mean), abs(off_std)) <= _OFF,
        f"mean off by {off_mean:+.1%} of the std, std by {off_std:+.1%}; {_OFF:.0%} allowed",
    )


def mixture(sampler: Sampler) -> Verdict:
    """With the optimal denoiser of two normals, the pixels are distributed as the data.

    250 steps from the exact first marginal; the mean distance between equal quantiles (Wasserstein)
    is within 6 % of the data's std.
    """
    pixels = _pixels(sampler, MIXTURE).flatten().sort().values
    quantiles = MIXTURE.quantile(_shares(), Level(0.0, 1.0, 0.0, float("inf")))
    off = (pixels - quantiles).abs().mean().item() / MIXTURE.spread()
    return Verdict(
        "mixture of two Gaussians",
        off <= _OFF,
        f"quantiles off by {off:.1%} of the std; {_OFF:.0%} allowed",
    )


def order(sampler: Sampler) -> Verdict:
    """A deterministic walk converges to the exact probability flow with the order it claims.

    The slope of log error over log steps, 40 to 320, on equal steps in log-SNR from the end to
    t = 1, float64, for a Gaussian and a mixture; at least ``sampler.order`` less 0.1.
    """
    name, claimed = "order of convergence", getattr(sampler, "order", 1)
    if not _deterministic(sampler):
        return Verdict(name, None, "the walk draws noise: measured for deterministic ones only")
    try:
        errors = [
            flow_errors(lambda count: with_steps(sampler, count), data)
            for data in (GAUSSIAN, MIXTURE)
        ]
    except ValueError as error:
        return Verdict(name, None, f"walks its own levels only: {error}")
    measured = min(slope(values) for values in errors)
    worst = max(values[-1] for values in errors)
    return Verdict(
        name,
        measured >= claimed - _MARGIN,
        f"{measured:.2f} measured, {claimed} claimed; error {worst:.1e} at 320 steps",
    )


def last_step(sampler: Sampler) -> Verdict:
    """A walk that ends at clean data returns the last prediction, with no noise on it."""
    name, schedule = "last step", Linear()
    for count in (1, 5):
        variant = with_steps(sampler, count)
        if variant.levels(schedule)[-1].sigma > 0:
            return Verdict(name, None, "the grid stops before clean data")
        x = noise(2, 1, 4, 4)
        goal = torch.full_like(x, 0.25)
        end = walk(variant, schedule, lambda *_: Prediction(goal, torch.full_like(goal, 0.5)), x)  # noqa: B023
        off = (end - goal).abs().max().item()
        if off > 1e-5:
            return Verdict(name, False, f"off the prediction by {off:.1e} with {count} steps")
    return Verdict(name, True, "returns the prediction")


def _pixels(sampler: Sampler, data: Mixture) -> torch.Tensor:
    """Pixels at the end of 250 steps, (8, 1, 32, 32), from quantiles of the first marginal."""
    variant, schedule = with_steps(sampler, _STEPS), Linear()
    first = variant.levels(schedule)[0]
    start = data.quantile(_shares(), first)
    shuffled = start[torch.randperm(_PIXELS, generator=torch.Generator().manual_seed(2))]
    return walk(variant, schedule, data.predict(), shuffled.reshape(8, 1, 32, 32))


def _shares() -> torch.Tensor:
    return (torch.arange(_PIXELS, dtype=torch.float64) + 0.5) / _PIXELS


def _deterministic(sampler: Sampler) -> bool:
    x, variant = noise(1, 1, 4, 4), with_steps(sampler, 5)
    first, second = (walk(variant, Linear(), GAUSSIAN.predict(), x, seed=seed) for seed in (0, 1))
    return torch.equal(first, second)
