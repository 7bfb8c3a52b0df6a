"""Every sampler on a Gaussian: its own recursion to 1e-8, the truth within 1 %, its contracts."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from zoo.draw import Draw
from zoo.records import Prediction
from zoo.sampler import (
    DDIM,
    PLMS,
    Ancestral,
    DPMSolver,
    DPMSolver3M,
    DPMSolverSDE,
    Euler,
    EulerAncestral,
    Heun,
    UniPC,
)
from zoo.sampler.grid import karras, leading, trailing, uniform_log_snr, uniform_time
from zoo.schedule import Cosine, FromBetas, Linear, ScaledLinear

_spec = importlib.util.spec_from_file_location("gaussian", Path(__file__).with_name("gaussian.py"))
assert _spec is not None and _spec.loader is not None
gaussian = importlib.util.module_from_spec(_spec)
sys.modules["gaussian"] = gaussian
_spec.loader.exec_module(gaussian)

SCHEDULES = [Linear(), Cosine(), ScaledLinear()]
GRIDS = [
    trailing,
    leading,
    uniform_time,
    uniform_log_snr,
    partial(uniform_log_snr, stop=1.0),
    karras,
]
SAMPLERS = {
    "Ancestral": Ancestral,
    "DDIM": DDIM,
    "DDIM eta 0.3": partial(DDIM, eta=0.3),
    "PLMS": PLMS,
    "Euler": Euler,
    "EulerAncestral": EulerAncestral,
    "Heun": Heun,
    "Heun churn": partial(Heun, s_churn=8.0, s_min=0.05, s_max=50.0, s_noise=1.003),
    "DPMSolver": DPMSolver,
    "DPMSolver3M": DPMSolver3M,
    "DPMSolverSDE": DPMSolverSDE,
    "UniPC 1": partial(UniPC, order=1),
    "UniPC 2": UniPC,
    "UniPC 2 bh1": partial(UniPC, variant="bh1"),
    "UniPC 3": partial(UniPC, order=3),
    "UniPC 3 bh1": partial(UniPC, order=3, variant="bh1"),
}
every_sampler = pytest.mark.parametrize("kind", SAMPLERS.values(), ids=SAMPLERS)


def name(thing) -> str:
    if isinstance(thing, partial):
        return thing.func.__name__ + "".join(f"-{k}={v}" for k, v in thing.keywords.items())
    return getattr(thing, "__name__", type(thing).__name__)


@pytest.mark.parametrize("grid", GRIDS, ids=name)
@every_sampler
def test_mean_and_variance_equal_the_methods_recursion(kind, grid) -> None:
    data = gaussian.Gaussian()
    for schedule in SCHEDULES:
        for num_steps in (1, 2, 3, 10, 40):
            sampler = kind(num_steps, grid)
            expected = gaussian.recursion(sampler, schedule, data)
            assert gaussian.pushed(sampler, schedule, data) == pytest.approx(
                expected, rel=1e-8, abs=1e-8
            ), (name(schedule), num_steps)


@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_ancestral_with_any_variance_fraction(fraction: float) -> None:
    data, sampler = gaussian.Gaussian(), Ancestral(20)
    expected = gaussian.recursion(sampler, Cosine(), data, fraction)
    assert gaussian.pushed(sampler, Cosine(), data, fraction) == pytest.approx(
        expected, rel=1e-8, abs=1e-8
    )


@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=name)
@pytest.mark.parametrize(
    "sampler",
    [
        Ancestral(1000),
        DDIM(500),
        PLMS(50, uniform_log_snr),
        Euler(400),
        EulerAncestral(700),
        Heun(50),
        Heun(60, s_churn=10.0),
        DPMSolver(30),
        DPMSolver3M(20),
        DPMSolverSDE(80),
        UniPC(25),
    ],
    ids=name,
)
def test_mean_and_std_are_within_one_percent_of_the_truth(sampler, schedule) -> None:
    data = gaussian.Gaussian()
    mean, variance = gaussian.pushed(sampler, schedule, data)
    assert mean == pytest.approx(data.mean, rel=0.01)
    assert variance**0.5 == pytest.approx(data.std, rel=0.01)


def walked(sampler, schedule, x, predict, seed=0, indices=None):
    """The last x of a walk."""
    draw = Draw(seed, range(len(x)) if indices is None else indices, "steps")
    *_, last = sampler.steps(predict, x, sampler.levels(schedule), draw, schedule)
    return last


def test_a_learned_fraction_as_a_tensor_equals_the_same_float() -> None:
    data, sampler, schedule = gaussian.Gaussian(), Ancestral(10), Linear()
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    as_float = walked(sampler, schedule, x, data.predict(0.37))
    as_tensor = walked(sampler, schedule, x, data.predict(torch.full_like(x, 0.37)))
    torch.testing.assert_close(as_float, as_tensor, rtol=1e-12, atol=1e-12)


@every_sampler
def test_counts_of_steps_and_of_network_evaluations(kind) -> None:
    calls = 0

    def predict(x, level):
        nonlocal calls
        calls += 1
        return gaussian.Gaussian().predict()(x, level)

    betas = torch.linspace(1e-3, 0.3, 30, dtype=torch.float64).tolist()
    x = torch.ones(2, 1, 4, 4)
    for schedule in (FromBetas(betas), FromBetas([0.3, 0.6, 0.9]), FromBetas([0.1, 0.5, 1.0])):
        for num_steps in {1, 2, 3, min(7, int(schedule.end)), int(schedule.end)}:
            sampler, calls = kind(num_steps), 0
            levels = sampler.levels(schedule)
            outputs = list(sampler.steps(predict, x, levels, Draw(0, range(2), "steps"), schedule))
            assert len(outputs) == num_steps
            assert calls == sampler.evaluations(levels)
            assert outputs[-1].isfinite().all()
    assert (x == 1).all(), "the caller's x must not change"


def test_network_evaluations_of_the_methods() -> None:
    schedule = Linear()
    assert DPMSolver(20).evaluations(DPMSolver(20).levels(schedule)) == 20
    assert PLMS(20).evaluations(PLMS(20).levels(schedule)) == 21
    assert PLMS(1).evaluations(PLMS(1).levels(schedule)) == 1
    assert Heun(20).evaluations(Heun(20).levels(schedule)) == 39
    stopping = Heun(20, partial(uniform_log_snr, stop=1.0))
    assert stopping.evaluations(stopping.levels(schedule)) == 40


@every_sampler
def test_the_last_step_returns_the_prediction_without_noise(kind) -> None:
    goal = torch.full((2, 1, 4, 4), 0.25)
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for num_steps in (1, 5):
        last = walked(
            kind(num_steps), Linear(), x, lambda *_: Prediction(goal, torch.full_like(goal, 0.5))
        )
        torch.testing.assert_close(last, goal, rtol=1e-5, atol=1e-5)


@every_sampler
def test_an_image_does_not_depend_on_its_batch(kind) -> None:
    def run(indices):
        x = Draw(3, indices, "start").normal(torch.empty(len(indices), 3, 5, 5))
        return walked(kind(6), Cosine(), x, gaussian.Gaussian().predict(), 3, indices)

    parts = torch.cat([run([0]), run(range(1, 5)), run([5, 6])])
    assert torch.equal(run(range(7)), parts)


@every_sampler
def test_a_walk_may_begin_anywhere(kind) -> None:
    schedule, sampler = Linear(), kind(12)
    levels = sampler.levels(schedule)[5:]
    x = torch.full((1, 1, 2, 2), 0.4)
    predict = gaussian.Gaussian().predict()
    outputs = list(sampler.steps(predict, x, levels, Draw(0, [0], "steps"), schedule))
    assert len(outputs) == 7
    assert outputs[-1].isfinite().all()


@every_sampler
def test_pure_noise_at_the_end_of_the_schedule_gives_finite_steps(kind) -> None:
    schedule, sampler = FromBetas([0.1, 0.3, 0.5, 1.0]), kind(4, trailing)
    assert sampler.levels(schedule)[0].alpha == 0
    last = walked(sampler, schedule, torch.ones(1, 1, 2, 2), gaussian.Gaussian().predict())
    assert last.isfinite().all()


def test_where_walks_start() -> None:
    noise, first = torch.ones(1, 1, 2, 2), ScaledLinear()(1000)
    for kind in (DDIM, PLMS, Heun, DPMSolver, UniPC, Ancestral):
        assert kind(5).start(noise, first).unique().item() == pytest.approx(1.0)
    for kind in (Euler, EulerAncestral):
        assert kind(5).start(noise, first).unique().item() == pytest.approx(first.sigma)


def test_sde_without_noise_is_the_multistep_solver() -> None:
    data = gaussian.Gaussian()
    assert gaussian.pushed(DPMSolverSDE(15, eta=0.0), Linear(), data) == gaussian.pushed(
        DPMSolver(15), Linear(), data
    )


@pytest.mark.parametrize("fraction", [0.0, 1.0, "tensor"])
def test_a_classifiers_gradient_moves_the_mean_by_the_variance(fraction) -> None:
    # ADM, algorithm 1: mean + Sigma grad log p(y|x), with the mean of the unguided x0
    schedule, sampler, data = Linear(), Ancestral(9), gaussian.Gaussian()
    levels = sampler.levels(schedule)
    x = torch.full((1, 1, 2, 2), 0.7, dtype=torch.float64)
    frac = torch.full_like(x, 0.3) if fraction == "tensor" else fraction
    score = 0.05

    def guided(x, level):
        x0 = data.predict()(x, level).x0 + level.sigma**2 / level.alpha * score
        return Prediction(x0, frac, torch.full_like(x, score))

    got = list(sampler.steps(guided, x, levels, Draw(0, [0], "steps"), schedule))
    plain, y, draw = data.predict(frac), x, Draw(0, [0], "steps")
    for k in range(9):
        now, to = levels[k], levels[k + 1]
        *_, unguided = sampler.steps(plain, y, [now, to], _Silent(), schedule)
        beta = 1 - now.alpha**2 / to.alpha**2
        small = beta * to.sigma**2 / now.sigma**2
        second, end = levels[-3], levels[-2]
        floor = (1 - second.alpha**2 / end.alpha**2) * end.sigma**2 / second.sigma**2
        if fraction == "tensor":
            sigma2 = beta**0.3 * (small or floor) ** 0.7
        elif fraction == 1.0:
            sigma2 = beta if to.sigma > 0 else floor
        else:
            sigma2 = small
        y = unguided + sigma2 * score
        if to.sigma > 0:
            y = y + sigma2**0.5 * draw.normal(x)
        torch.testing.assert_close(got[k], y, rtol=1e-12, atol=1e-12)


class _Silent:
    def normal(self, like):
        return torch.zeros_like(like)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        DDIM(0)
    with pytest.raises(ValueError, match="at most 1000 steps, got 1001"):
        DDIM(1001).levels(Linear())
    for kind in (DDIM, DPMSolverSDE):
        with pytest.raises(ValueError, match="eta must not be negative"):
            kind(10, eta=-1.0)
    with pytest.raises(ValueError, match="s_churn must not be negative"):
        Heun(10, s_churn=-1.0)
    with pytest.raises(ValueError, match="1, 2 or 3, got 4"):
        UniPC(10, order=4)
    with pytest.raises(ValueError, match="bh1 and bh2, got bh3"):
        UniPC(10, variant="bh3")
