"""Checks of a walk: any number of steps, counted evaluations, unchanged inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.conformance.data import GAUSSIAN
from zoo.conformance.verdict import Verdict
from zoo.conformance.walk import noise, walk, with_steps
from zoo.draw import Draw
from zoo.part import config_of
from zoo.records import Level, Prediction
from zoo.sampler import Sampler
from zoo.sampler.grid import trailing
from zoo.schedule import FromBetas, NoiseSchedule

_TIMES = 30
_SCHEDULE = FromBetas(torch.linspace(1e-3, 0.3, _TIMES, dtype=torch.float64).tolist())
_TO_NOISE = FromBetas([*torch.linspace(1e-3, 0.3, _TIMES - 1, dtype=torch.float64).tolist(), 1.0])


def one_step(sampler: Sampler) -> Verdict:
    """N = 1: one step from the grid's first time."""
    return _steps(sampler, 1, "N = 1")


def every_time(sampler: Sampler) -> Verdict:
    """N = T: a step for each of the schedule's times."""
    return _steps(sampler, _TIMES, f"N = T = {_TIMES}")


def odd_steps(sampler: Sampler) -> Verdict:
    """N does not divide T."""
    return _steps(sampler, 7, f"N = 7, T = {_TIMES}")


def _steps(sampler: Sampler, count: int, name: str) -> Verdict:
    """The walk yields a finite x for every step, as many as its levels say."""
    variant, note = with_steps(sampler, count), ""
    try:
        levels = variant.levels(_SCHEDULE)
    except ValueError as error:
        levels, note = _SCHEDULE.levels(trailing(_SCHEDULE, count)), f"; its own grid: {error}"
    x = noise(2, 1, 4, 4)
    draw = Draw(0, range(2), "steps")
    outputs = list(variant.steps(GAUSSIAN.predict(), x, levels, draw, _SCHEDULE))
    if len(outputs) != len(levels) - 1:
        return Verdict(name, False, f"{len(levels)} levels, but {len(outputs)} steps{note}")
    for k, output in enumerate(outputs):
        if output.shape != x.shape or not output.isfinite().all():
            what = "not finite" if output.shape == x.shape else f"of shape {tuple(output.shape)}"
            return Verdict(name, False, f"x after step {k + 1} is {what}{note}")
    return Verdict(name, True, f"{len(outputs)} steps, all finite{note}")


def start(sampler: Sampler) -> Verdict:
    """The first x is unit noise times a number near sqrt(alpha^2 + sigma^2)."""
    levels = with_steps(sampler, 6).levels(_SCHEDULE)
    unit = noise(2, 1, 4, 4)
    ratios = sampler.start(unit, levels[0]) / unit
    expected = (levels[0].alpha ** 2 + levels[0].sigma ** 2) ** 0.5
    fine = (
        bool(((ratios - ratios.mean()).abs() < 1e-6).all())
        and abs(ratios.mean().item() - expected) < 0.05
    )
    detail = f"noise times {ratios.min().item():.4f} to {ratios.max().item():.4f}"
    return Verdict("start", fine, detail)


def evaluations(sampler: Sampler) -> Verdict:
    """The network is called as often as ``sampler.evaluations(levels)`` says, each on all of x."""
    name, calls, counts = "network evaluations", 0, []

    def counting(x: Tensor, level: Level) -> Prediction:
        nonlocal calls
        calls += len(x) // 2
        return GAUSSIAN.predict()(x, level)

    for count in (1, 6):
        variant, calls = with_steps(sampler, count), 0
        levels = variant.levels(_SCHEDULE)
        walk(variant, _SCHEDULE, counting, noise(2, 1, 4, 4), levels)
        claim = variant.evaluations(levels)
        counts.append(f"{calls} in {count} step{'s' if count > 1 else ''}")
        if calls != claim:
            return Verdict(name, False, f"{counts[-1]}, but evaluations() says {claim}")
    return Verdict(name, True, ", ".join(counts))


def learned_variance(sampler: Sampler) -> Verdict:
    """A learned variance (a tensor of fractions) equals the same fraction as a number."""
    x, variant = noise(2, 1, 4, 4), with_steps(sampler, 6)
    number = walk(variant, _SCHEDULE, GAUSSIAN.predict(0.37), x)
    tensor = walk(variant, _SCHEDULE, GAUSSIAN.predict(torch.full_like(x, 0.37)), x)
    off = (number - tensor).abs().max().item()
    larger = walk(variant, _SCHEDULE, GAUSSIAN.predict(torch.full_like(x, 0.9)), x)
    note = "used" if not torch.equal(larger, tensor) else "not used by this method"
    return Verdict("learned variance", off <= 1e-6, f"{note}; tensor and number {off:.0e} apart")


def same_seed(sampler: Sampler) -> Verdict:
    """Two runs with one seed are the same bits: all randomness comes from ``draw``."""
    x, variant = noise(2, 1, 4, 4), with_steps(sampler, 6)
    first, second = (walk(variant, _SCHEDULE, GAUSSIAN.predict(), x) for _ in range(2))
    same = torch.equal(first, second)
    return Verdict("same seed, same bits", same, "equal" if same else "two runs differ")


def batches(sampler: Sampler) -> Verdict:
    """An image does not depend on the others in its batch."""
    x, variant = noise(7, 3, 5, 5, dtype=torch.float32), with_steps(sampler, 6)
    whole = walk(variant, _SCHEDULE, GAUSSIAN.predict(), x)
    parts = [
        walk(variant, _SCHEDULE, GAUSSIAN.predict(), x[rows], indices=list(range(7))[rows])
        for rows in (slice(0, 1), slice(1, 5), slice(5, 7))
    ]
    off = (torch.cat(parts) - whole).abs().max().item()
    return Verdict(
        "batch independence", off <= 1e-6, f"7 images whole or in three parts: {off:.0e}"
    )


def untouched(sampler: Sampler) -> Verdict:
    """Neither the first x nor a prediction is changed in place: callers may still need them."""
    predictions: list[tuple[Tensor, Tensor]] = []

    def remembering(x: Tensor, level: Level) -> Prediction:
        prediction = GAUSSIAN.predict()(x, level)
        predictions.append((prediction.x0, prediction.x0.clone()))
        return prediction

    x = noise(2, 1, 4, 4)
    before = x.clone()
    walk(with_steps(sampler, 6), _SCHEDULE, remembering, x)
    if not torch.equal(x, before):
        return Verdict("inputs unchanged", False, "the first x was changed in place")
    if changed := sum(not torch.equal(now, then) for now, then in predictions):
        return Verdict("inputs unchanged", False, f"{changed} predictions were changed in place")
    return Verdict("inputs unchanged", True, "the first x and every prediction as they were")


def tail(sampler: Sampler) -> Verdict:
    """A walk may begin at any of its levels, as image-to-image needs."""
    variant = with_steps(sampler, 8)
    levels = variant.levels(_SCHEDULE)
    levels = levels[len(levels) // 2 :]
    end = walk(variant, _SCHEDULE, GAUSSIAN.predict(), noise(2, 1, 4, 4), levels)
    fine = bool(end.isfinite().all())
    return Verdict(
        "begins anywhere", fine, f"from t = {levels[0].t:.3g}: {'' if fine else 'not '}finite"
    )


def pure_noise(sampler: Sampler) -> Verdict:
    """A schedule that ends in pure noise (alpha = 0) is walked with finite x."""
    variant, schedule = with_steps(sampler, 6), _TO_NOISE
    levels = _own_or_trailing(variant, schedule, 6)
    end = walk(variant, schedule, GAUSSIAN.predict(), noise(2, 1, 4, 4), levels)
    fine = bool(end.isfinite().all())
    return Verdict("from pure noise", fine, "finite" if fine else "the last x is not finite")


def _own_or_trailing(sampler: Sampler, schedule: NoiseSchedule, count: int) -> list[Level]:
    """Levels that begin at alpha = 0 where the sampler walks any; else its own."""
    levels = schedule.levels(trailing(schedule, count))
    try:
        walk(sampler, schedule, GAUSSIAN.predict(), noise(2, 1, 4, 4), levels)
    except ValueError:
        return sampler.levels(schedule)
    return levels


def single_precision(sampler: Sampler) -> Verdict:
    """float32 goes in and comes out, close to the same walk in float64."""
    x, variant = noise(2, 1, 4, 4), with_steps(sampler, 20)
    double = walk(variant, _SCHEDULE, GAUSSIAN.predict(), x)
    single = walk(variant, _SCHEDULE, GAUSSIAN.predict(), x.float())
    off = (single.double() - double).abs().max().item()
    fine = single.dtype == torch.float32 and off <= 1e-4
    kind = str(single.dtype).removeprefix("torch.")
    return Verdict("float32", fine, f"gives {kind}, {off:.0e} off float64")


def written_down(sampler: Sampler) -> Verdict:
    """The sampler writes its own config, as a saved model needs."""
    config = config_of(sampler)
    return Verdict("writes its config", True, f"{config['_target_']}, {len(config) - 1} arguments")
