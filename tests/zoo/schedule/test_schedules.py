"""Every schedule against the papers' formulas and diffusers' tables; the curve between integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from zoo.checkpoint.build import build
from zoo.part import config_of
from zoo.schedule import (
    Cosine,
    FromBetas,
    Linear,
    NoiseSchedule,
    ScaledLinear,
    Sigmoid,
    ZeroTerminalSNR,
)

PEERS = [
    (Linear(), {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}),
    (ScaledLinear(), {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}),
    (Cosine(), {"beta_schedule": "squaredcos_cap_v2"}),
    (Sigmoid(), {"beta_schedule": "sigmoid", "beta_start": 1e-4, "beta_end": 0.02}),
]
QUAD = {"beta_start": 1e-4, "beta_end": 0.02}
PURE_NOISE = [
    ZeroTerminalSNR(Linear()),
    ZeroTerminalSNR(ScaledLinear(1000, 0.00085, 0.012)),
    FromBetas([0.3, 0.5, 1.0]),
]
ALL = [schedule for schedule, _ in PEERS] + [
    Cosine(4000),
    Linear(100),
    Linear(4000),
    ScaledLinear(1000, **QUAD),
    FromBetas([0.1, 0.5, 0.9]),
    *PURE_NOISE,
]
R = np.longdouble


def linspace(start: np.longdouble, stop: np.longdouble, count: int) -> np.ndarray:
    return start + (stop - start) * np.arange(count, dtype=R) / (count - 1)


def sigmoid_betas(count: int) -> np.ndarray:
    return R("0.0001") + (R("0.02") - R("0.0001")) / (1 + np.exp(-linspace(R(-6), R(6), count)))


def cosine_betas(count: int) -> np.ndarray:
    angle = (np.arange(count + 1, dtype=R) / count + R("0.008")) / R("1.008") * R(np.pi) / 2
    # pi of float64 in both: its last digits shift every angle alike
    alpha2 = np.cos(angle) ** 2
    return np.minimum(1 - alpha2[1:] / alpha2[:-1], R("0.999"))


PUBLISHED = {  # the papers' betas in extended precision
    "linear": (Linear(), linspace(R("0.0001"), R("0.02"), 1000)),
    "linear, T = 4000": (Linear(4000), linspace(R("0.000025"), R("0.005"), 4000)),
    "linear, T = 100": (Linear(100), linspace(R("0.001"), R("0.2"), 100)),
    "scaled linear": (
        ScaledLinear(),
        linspace(np.sqrt(R("0.0015")), np.sqrt(R("0.0195")), 1000) ** 2,
    ),
    "scaled linear of Stable Diffusion": (
        ScaledLinear(1000, 0.00085, 0.012),
        linspace(np.sqrt(R("0.00085")), np.sqrt(R("0.012")), 1000) ** 2,
    ),
    "quad": (ScaledLinear(1000, **QUAD), linspace(R("0.01"), np.sqrt(R("0.02")), 1000) ** 2),
    "cosine": (Cosine(), cosine_betas(1000)),
    "cosine, T = 4000": (Cosine(4000), cosine_betas(4000)),
    "sigmoid": (Sigmoid(), sigmoid_betas(1000)),
    "from betas": (FromBetas([0.1, 0.5, 0.9]), np.array([R(0.1), R(0.5), R(0.9)])),
}


@pytest.mark.parametrize(("schedule", "settings"), PEERS, ids=lambda x: type(x).__name__)
def test_equals_the_float32_table_of_diffusers(schedule: NoiseSchedule, settings: dict) -> None:
    table = DDPMScheduler(num_train_timesteps=1000, **settings).alphas_cumprod.double()
    alpha2 = schedule(torch.arange(1.0, 1001.0)).alpha ** 2
    torch.testing.assert_close(alpha2, table, rtol=3e-4, atol=1e-7)


@pytest.mark.parametrize("name", PUBLISHED)
def test_integer_times_give_the_published_table_to_1e_12(name: str) -> None:
    schedule, betas = PUBLISHED[name]
    alpha2 = np.cumprod(1 - betas)
    level = schedule(torch.arange(1.0, schedule.end + 1, dtype=torch.float64))
    assert len(betas) == schedule.end
    np.testing.assert_allclose(level.alpha.numpy() ** 2, alpha2.astype(float), rtol=1e-12)
    # the first sigma^2 of the cosine is itself a difference of nearly equal numbers in float64
    rtol = 1e-10 if name.startswith("cosine") else 1e-12
    np.testing.assert_allclose(level.sigma.numpy() ** 2, (1 - alpha2).astype(float), rtol=rtol)


def test_the_betas_of_diffusers_are_the_same_numbers() -> None:
    for schedule, settings in PEERS:
        betas = DDPMScheduler(num_train_timesteps=1000, **settings).betas.double().numpy()
        times = torch.arange(0.0, 1001.0, dtype=torch.float64)
        ours = 1 - (schedule(times).alpha[1:] / schedule(times).alpha[:-1]) ** 2
        np.testing.assert_allclose(ours.numpy(), betas, rtol=3e-5)  # theirs are float32


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


# Schedules that end in pure noise


def test_zero_terminal_snr_is_algorithm_1_of_the_paper() -> None:
    betas = linspace(R("0.0001"), R("0.02"), 1000)
    alpha = np.sqrt(np.cumprod(1 - betas))
    expected = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    level = ZeroTerminalSNR(Linear())(torch.arange(1.0, 1001.0, dtype=torch.float64))
    np.testing.assert_allclose(level.alpha.numpy(), expected.astype(float), rtol=1e-11, atol=0)
    assert (level.alpha[-1], level.sigma[-1], level.log_snr[-1]) == (0, 1, -float("inf"))
    assert level.sigma[0].item() == pytest.approx(0.01, rel=1e-14)


@pytest.mark.parametrize(
    "settings", [PEERS[0][1], {**PEERS[1][1], "beta_start": 0.00085, "beta_end": 0.012}]
)
def test_zero_terminal_snr_equals_diffusers(settings: dict) -> None:
    peer = DDPMScheduler(num_train_timesteps=1000, rescale_betas_zero_snr=True, **settings)
    ours = (Linear if settings["beta_schedule"] == "linear" else ScaledLinear)(
        1000, settings["beta_start"], settings["beta_end"]
    )
    alpha2 = ZeroTerminalSNR(ours)(torch.arange(1.0, 1001.0)).alpha ** 2
    torch.testing.assert_close(alpha2, peer.alphas_cumprod.double(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("schedule", PURE_NOISE, ids=lambda s: type(s).__name__)
def test_alpha_falls_in_a_straight_line_to_pure_noise(schedule: NoiseSchedule) -> None:
    before = schedule(schedule.end - 1)
    middle = schedule(schedule.end - 0.25)
    assert middle.alpha == pytest.approx(0.25 * before.alpha, rel=1e-12)
    assert middle.alpha**2 + middle.sigma**2 == pytest.approx(1, rel=1e-12)
    assert schedule.time_at(-float("inf")) == schedule.end
    assert schedule.time_at(-1e6) == pytest.approx(schedule.end)


def test_a_rescaled_schedule_is_written_down_and_built_again() -> None:
    schedule = ZeroTerminalSNR(ScaledLinear(50))
    again = build(config_of(schedule))
    assert config_of(again) == config_of(schedule)
    assert again(30.0) == schedule(30.0)


def test_what_already_ends_in_noise_stays_as_it_is() -> None:
    once = ZeroTerminalSNR(Linear())
    twice = ZeroTerminalSNR(once)
    times = torch.arange(1.0, 1001.0, dtype=torch.float64)
    torch.testing.assert_close(twice(times).alpha, once(times).alpha, rtol=1e-12, atol=0)


def test_what_cannot_be_rescaled_is_refused() -> None:
    with pytest.raises(ValueError, match="whose alpha falls"):
        ZeroTerminalSNR(FromBetas([0.5]))
    with pytest.raises(ValueError, match="beta 2 of 3 is 1"):
        FromBetas([0.5, 1.0, 0.5])
    with pytest.raises(ValueError, match="beta 1 of 1 is 1"):
        FromBetas([1.0])
