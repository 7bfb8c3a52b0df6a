"""Every schedule against diffusers' tables, and the curve between the integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from zoo.schedule import Cosine, FromBetas, Linear, NoiseSchedule, ScaledLinear, Sigmoid

PEERS = [
    (Linear(), {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}),
    (ScaledLinear(), {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}),
    (Cosine(), {"beta_schedule": "squaredcos_cap_v2"}),
    (Sigmoid(), {"beta_schedule": "sigmoid", "beta_start": 1e-4, "beta_end": 0.02}),
]
ALL = [schedule for schedule, _ in PEERS] + [Cosine(4000), Linear(100), FromBetas([0.1, 0.5, 0.9])]


@pytest.mark.parametrize(("schedule", "settings"), PEERS, ids=lambda x: type(x).__name__)
def test_equals_the_float32_table_of_diffusers(schedule: NoiseSchedule, settings: dict) -> None:
    table = DDPMScheduler(num_train_timesteps=1000, **settings).alphas_cumprod.double()
    alpha2 = schedule(torch.arange(1.0, 1001.0)).alpha ** 2
    torch.testing.assert_close(alpha2, table, rtol=3e-4, atol=1e-7)


def test_integer_times_give_the_published_table_to_1e_12() -> None:
    betas = np.linspace(1e-4, 0.02, 1000)
    published = np.cumprod(1 - betas)
    level = Linear()(torch.arange(1.0, 1001.0, dtype=torch.float64))
    np.testing.assert_allclose(level.alpha.numpy() ** 2, published, rtol=1e-12)
    np.testing.assert_allclose(level.sigma.numpy() ** 2, 1 - published, rtol=3e-12)


def test_improved_diffusion_scales_linear_betas_with_the_number_of_steps() -> None:
    betas = np.linspace(1e-4 / 4, 0.02 / 4, 4000)
    level = Linear(4000)(torch.tensor([4000.0]))
    np.testing.assert_allclose(level.alpha.numpy() ** 2, np.prod(1 - betas), rtol=1e-12)


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: f"{type(s).__name__}{s.end:g}")
def test_log_snr_falls_and_time_at_inverts_it(schedule: NoiseSchedule) -> None:
    times = torch.linspace(0.001, schedule.end, 3001, dtype=torch.float64)
    log_snr = schedule.log_snr(times)
    assert (log_snr.diff() < 0).all()
    torch.testing.assert_close(schedule.time_at(log_snr), times, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: f"{type(s).__name__}{s.end:g}")
def test_log_snr_is_linear_between_integers_and_log_alpha_below_one(
    schedule: NoiseSchedule,
) -> None:
    assert schedule.log_snr(1.25) == pytest.approx(
        0.75 * schedule.log_snr(1) + 0.25 * schedule.log_snr(2), rel=1e-12
    )
    assert np.log(schedule(0.25).alpha) == pytest.approx(0.25 * np.log(schedule(1).alpha), rel=1e-9)


def test_floats_and_tensors_agree_and_zero_is_clean() -> None:
    schedule = Cosine()
    for t in (0.0, 0.3, 1.0, 17.0, 999.5, 1000.0):
        single, many = schedule(t), schedule(torch.tensor([t], dtype=torch.float64))
        assert [float(v) for v in many] == pytest.approx(list(single), rel=1e-15)
    assert schedule(0.0)[1:] == (1.0, 0.0, float("inf"))


def test_a_time_outside_and_a_bad_beta_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1000\], got 1000.5"):
        Linear()(1000.5)
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        FromBetas([0.1, 1.2])


def test_a_schedule_may_end_in_pure_noise() -> None:
    level = FromBetas([0.5, 1.0])(2.0)
    assert (level.alpha, level.sigma) == (0.0, 1.0)
