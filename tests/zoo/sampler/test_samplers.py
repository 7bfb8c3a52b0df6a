"""Every sampler on a Gaussian: its own recursion to 1e-8, the truth within 1 %, its contracts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from zoo.draw import Draw
from zoo.records import Prediction
from zoo.sampler import DDIM, Ancestral, DPMSolver, Heun
from zoo.sampler.grid import leading, trailing, uniform_log_snr, uniform_time
from zoo.schedule import Cosine, FromBetas, Linear, ScaledLinear

_spec = importlib.util.spec_from_file_location("gaussian", Path(__file__).with_name("gaussian.py"))
assert _spec is not None and _spec.loader is not None
gaussian = importlib.util.module_from_spec(_spec)
sys.modules["gaussian"] = gaussian
_spec.loader.exec_module(gaussian)

SCHEDULES = [Linear(), Cosine(), ScaledLinear()]
SAMPLERS = [Ancestral, DDIM, Heun, DPMSolver]
GRIDS = [trailing, leading, uniform_time, uniform_log_snr]
name = lambda thing: getattr(thing, "__name__", type(thing).__name__)  # noqa: E731


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
@pytest.mark.parametrize("grid", GRIDS, ids=name)
@pytest.mark.parametrize("num_steps", [1, 2, 10, 50])
@pytest.mark.parametrize("kind", SAMPLERS, ids=name)
def test_mean_and_variance_equal_the_methods_recursion(kind, num_steps, grid, schedule) -> None:
    data, sampler = gaussian.Gaussian(), kind(num_steps, grid)
    expected = gaussian.recursion(sampler, schedule, data)
    assert gaussian.pushed(sampler, schedule, data) == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_ancestral_with_any_variance_fraction(fraction: float) -> None:
    data, sampler = gaussian.Gaussian(), Ancestral(20)
    expected = gaussian.recursion(sampler, Cosine(), data, fraction)
    assert gaussian.pushed(sampler, Cosine(), data, fraction) == pytest.approx(
        expected, rel=1e-8, abs=1e-8
    )


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_with_noise(eta: float) -> None:
    data, sampler = gaussian.Gaussian(), DDIM(20, eta=eta)
    expected = gaussian.recursion(sampler, Linear(), data)
    assert gaussian.pushed(sampler, Linear(), data) == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=name)
@pytest.mark.parametrize(
    "sampler",
    [
        Ancestral(1000),
        DDIM(500),
        Heun(50, uniform_log_snr),
        DPMSolver(30, uniform_log_snr),
    ],
    ids=name,
)
def test_mean_and_std_are_within_one_percent_of_the_truth(sampler, schedule) -> None:
    data = gaussian.Gaussian()
    mean, variance = gaussian.pushed(sampler, schedule, data)
    assert mean == pytest.approx(data.mean, rel=0.01)
    assert variance**0.5 == pytest.approx(data.std, rel=0.01)


def test_a_learned_fraction_as_a_tensor_equals_the_same_float() -> None:
    data, sampler, schedule = gaussian.Gaussian(), Ancestral(10), Linear()
    levels = sampler.levels(schedule)
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def run(fraction):
        for y in sampler.steps(
            data.predict(fraction), x, levels, Draw(0, range(3), "steps"), schedule
        ):
            last = y
        return last

    torch.testing.assert_close(run(0.37), run(torch.full_like(x, 0.37)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", SAMPLERS, ids=name)
@pytest.mark.parametrize("schedule", [*SCHEDULES, FromBetas([0.3, 0.6, 0.9])], ids=name)
def test_as_many_steps_as_times_one_step_and_steps_that_do_not_divide(kind, schedule) -> None:
    calls = 0

    def predict(x, level):
        nonlocal calls
        calls += 1
        return gaussian.Gaussian().predict()(x, level)

    x = torch.ones(2, 1, 4, 4)
    for num_steps in {1, 2, 3, min(7, int(schedule.end)), int(schedule.end)}:
        sampler, calls = kind(num_steps), 0
        levels = sampler.levels(schedule)
        outputs = list(sampler.steps(predict, x, levels, Draw(0, range(2), "steps"), schedule))
        assert len(outputs) == num_steps
        assert calls == (2 * num_steps - 1 if kind is Heun else num_steps)
        assert outputs[-1].isfinite().all()
    assert (x == 1).all(), "the caller's x must not change"


@pytest.mark.parametrize("kind", SAMPLERS, ids=name)
def test_the_last_step_returns_the_prediction_without_noise(kind) -> None:
    schedule, sampler = Linear(), kind(5)
    goal = torch.full((2, 1, 4, 4), 0.25)
    steps = sampler.steps(
        lambda x, level: Prediction(goal, torch.full_like(goal, 0.5)),
        torch.randn(2, 1, 4, 4),
        sampler.levels(schedule),
        Draw(0, range(2), "steps"),
        schedule,
    )
    torch.testing.assert_close(list(steps)[-1], goal, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", SAMPLERS, ids=name)
def test_an_image_does_not_depend_on_its_batch(kind) -> None:
    schedule, sampler = Cosine(), kind(6)
    levels = sampler.levels(schedule)

    def run(indices):
        x = Draw(3, indices, "start").normal(torch.empty(len(indices), 3, 5, 5))
        steps = sampler.steps(
            gaussian.Gaussian().predict(), x, levels, Draw(3, indices, "steps"), schedule
        )
        return list(steps)[-1]

    whole = run(range(7))
    parts = torch.cat([run([0]), run(range(1, 5)), run([5, 6])])
    assert torch.equal(whole, parts)


@pytest.mark.parametrize("kind", SAMPLERS, ids=name)
def test_pure_noise_at_the_end_of_the_schedule_gives_finite_steps(kind) -> None:
    schedule, sampler = FromBetas([0.1, 0.3, 0.5, 1.0]), kind(4, trailing)
    levels = sampler.levels(schedule)
    assert levels[0].alpha == 0
    last = list(
        sampler.steps(
            gaussian.Gaussian().predict(),
            torch.ones(1, 1, 2, 2),
            levels,
            Draw(0, [0], "steps"),
            schedule,
        )
    )[-1]
    assert last.isfinite().all()


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        DDIM(0)
    with pytest.raises(ValueError, match="at most 1000 steps, got 1001"):
        DDIM(1001).levels(Linear())
    with pytest.raises(ValueError, match="eta"):
        DDIM(10, eta=-1.0)


def test_grids() -> None:
    assert trailing(Linear(), 4).tolist() == [1000, 750, 500, 250, 0]
    assert leading(Linear(), 4).tolist() == [751, 501, 251, 1, 0]
    assert uniform_time(Linear(), 3)[1] == pytest.approx(2000 / 3)
    times = uniform_log_snr(Linear(), 9)
    steps = Linear().log_snr(times[:-1]).diff()
    torch.testing.assert_close(steps, steps[:1].expand(8))
    assert (times[0], times[-2], times[-1]) == (1000, 1, 0)
    assert Cosine().log_snr(uniform_log_snr(Cosine(), 9)[0].item()) == pytest.approx(-10.2)
