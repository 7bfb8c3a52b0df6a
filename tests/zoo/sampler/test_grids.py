"""Grids: the times they visit, against formulas and the published timesteps."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo import DDPM
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.sampler import DDIM
from zoo.sampler.grid import (
    karras,
    leading,
    linspace,
    quadratic,
    respaced,
    trailing,
    uniform_log_snr,
    uniform_time,
)
from zoo.sampler.sampler import warn_of_early_start
from zoo.schedule import Cosine, FromBetas, Linear, ScaledLinear

FOUR = FromBetas([0.1, 0.3, 0.5, 1.0])


def test_linear_ones() -> None:
    assert trailing(Linear(), 4).tolist() == [1000, 750, 500, 250, 0]
    assert leading(Linear(), 4).tolist() == [751, 501, 251, 1, 0]
    assert uniform_time(Linear(), 3)[1] == pytest.approx(2000 / 3)
    assert linspace(Linear(), 4).tolist() == pytest.approx([1000, 667, 334, 1, 0])


def test_latent_diffusions_walks_stop_at_its_first_level() -> None:
    # its index i is our t = i + 1: timesteps range(0, 1000, 20) + 1, the last alpha alphas[0]
    published = [*(t + 2 for t in range(980, -1, -20)), 1]
    assert leading(Linear(), 50, first=2, stop=1).tolist() == published
    roots = (np.linspace(0, np.sqrt(1000 * 0.8), 50) ** 2).astype(int)
    assert quadratic(Linear(), 50, first=2, stop=1).tolist() == [*np.unique(roots)[::-1] + 2, 1]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 10, 30, 50, 300, 333, 600, 999, 1000])
@pytest.mark.parametrize("total", [1000, 60])
def test_leading_visits_the_first_of_ddims_and_latent_diffusions_times(count, total) -> None:
    if count > total:
        return
    schedule = FromBetas([0.01] * total)
    skip = total // count
    ddim = list(range(0, total, skip))  # ermongroup/ddim, skip_type="uniform"
    compvis = [*np.asarray(ddim) + 1]  # make_ddim_timesteps, "uniform"
    ours = leading(schedule, count).tolist()
    assert ours == [*(i + 1 for i in reversed(ddim[:count])), 0]
    if total % count == 0:
        assert len(ddim) == count  # so all of them
    if count < total:
        with_offset = leading(schedule, count, first=2, stop=1).tolist()
        assert with_offset == [*(i + 1 for i in reversed(compvis[:count])), 1]
    guided = [stride for stride in range(1, total) if len(range(0, total, stride)) == count]
    if guided:  # guided-diffusion's "ddimN": the first stride that gives exactly N
        times = respaced(schedule, count, f"ddim{count}").tolist()
        assert times == [*(i + 1 for i in reversed(range(0, total, guided[0]))), 0]


def test_the_documented_table_is_what_grids_visit() -> None:
    text = (Path(__file__).parents[3] / "docs" / "samplers.md").read_text(encoding="utf-8")
    visited = {
        name: [float(time) for time in times.split(", ")]
        for name, times in re.findall(r"^\| (`.*?) \| .* \| ([\d., ]+) \|$", text, re.MULTILINE)
    }
    grids = {
        "`uniform_time`": uniform_time,
        "`trailing`": trailing,
        "`linspace`": linspace,
        "`leading`": leading,
        "`leading`, `first: 2, stop: 1`": partial(leading, first=2, stop=1),
        "`quadratic`": quadratic,
        "`quadratic`, `first: 2, stop: 1`": partial(quadratic, first=2, stop=1),
        "`uniform_log_snr`": uniform_log_snr,
        "`karras`": karras,
        "`respaced`": respaced,
        "`respaced`, `sections: ddim4`": partial(respaced, sections="ddim4"),
    }
    assert visited.keys() == grids.keys()
    for name, times in visited.items():
        assert grids[name](Linear(), 4).tolist() == pytest.approx(times, abs=0.05), name


EARLY = [
    (leading, 1, Linear(), "t = 1 of 1000, where 100 %"),
    (leading, 2, Linear(), "t = 501 of 1000, where 7.78 %"),
    (leading, 3, Linear(), "t = 667"),
    (partial(leading, first=2, stop=1), 1, ScaledLinear(), "t = 2 of 1000"),
    (quadratic, 10, Cosine(), "t = 801 of 1000, where 9.31 %"),
    (partial(respaced, sections="ddim2"), 2, Linear(), "t = 501"),
]


@pytest.mark.parametrize(("grid", "count", "schedule", "message"), EARLY)
def test_a_walk_that_starts_below_its_noise_warns(grid, count, schedule, message) -> None:
    levels = DDIM(count, grid=grid).levels(schedule)
    with pytest.warns(UserWarning, match=f"starts from pure noise at {message}"):
        warn_of_early_start(levels, schedule)


def test_published_walks_and_short_schedules_do_not_warn() -> None:
    short = FromBetas([0.01] * 60)  # ends with half of the image, which its models know
    for grid, count, schedule in (
        (leading, 4, Linear()),
        (leading, 50, Cosine()),
        (partial(leading, first=2, stop=1), 50, ScaledLinear()),
        (quadratic, 10, Linear()),
        *((grid, 1, schedule) for grid in (uniform_time, trailing, uniform_log_snr, karras)
          for schedule in (Linear(), Cosine(), FOUR)),
        *((grid, 1, short) for grid in (uniform_time, trailing)),
    ):  # fmt: skip
        warn_of_early_start(DDIM(count, grid=grid).levels(schedule), schedule)


def test_generation_warns_once_of_an_early_start() -> None:
    class Zero(torch.nn.Module):
        def forward(self, x, t, condition):
            return torch.zeros_like(x)

    module = DDPM(Zero(), GaussianDiffusion(Linear()), (1, 4, 4), DDIM(1, grid=leading))
    with pytest.warns(UserWarning, match="starts from pure noise") as warned:
        module.generate(6, batch_size=2)
    assert len(warned) == 1
    module.generate(2, sampler=DDIM(1))


def test_quadratic_is_ddims() -> None:
    times = quadratic(Linear(), 10)
    roots = [int(value) for value in np.linspace(0, np.sqrt(800), 10) ** 2]
    assert times.tolist() == [*(index + 1 for index in reversed(roots)), 0]
    assert times[0] == 801
    assert len(quadratic(Linear(), 50)) < 51  # published chains visit some times twice: no step


def test_uniform_log_snr() -> None:
    times = uniform_log_snr(Linear(), 9)
    steps = Linear().log_snr(times[:-1]).diff()
    torch.testing.assert_close(steps, steps[:1].expand(8))
    assert (times[0], times[-2], times[-1]) == (1000, 1, 0)
    assert Cosine().log_snr(uniform_log_snr(Cosine(), 9)[0].item()) == pytest.approx(-10.2)
    stopped = uniform_log_snr(Linear(), 9, stop=1.0)
    steps = Linear().log_snr(stopped).diff()
    torch.testing.assert_close(steps, steps[:1].expand(9))
    assert (stopped[0], stopped[-1], len(stopped)) == (1000, 1, 10)


@pytest.mark.parametrize("rho", [3.0, 7.0])
def test_karras(rho: float) -> None:
    schedule, count = ScaledLinear(), 12
    got = torch.exp(-0.5 * schedule.log_snr(karras(schedule, count, rho)[:-1]))
    most, least = got[0].item(), got[-1].item()
    ramp = np.linspace(0, 1, count)  # EDM, eq. 5
    wanted = (most ** (1 / rho) + ramp * (least ** (1 / rho) - most ** (1 / rho))) ** rho
    torch.testing.assert_close(got, torch.from_numpy(wanted), rtol=1e-9, atol=0)
    first, last = schedule(1000), schedule(1)
    assert most == pytest.approx(first.sigma / first.alpha)
    assert least == pytest.approx(last.sigma / last.alpha)
    assert karras(schedule, count, rho, stop=1.0)[-1] == 1
    assert len(karras(schedule, count, rho, stop=1.0)) == count + 1


def test_respaced_keeps_the_published_timesteps() -> None:
    def kept(total, sections, count):
        times = respaced(FromBetas([0.01] * total), count, sections)
        assert times[-1] == 0
        return sorted(int(t) - 1 for t in times[:-1])

    assert kept(1000, "ddim50", 50) == list(range(0, 1000, 20))
    assert kept(1000, "1000", 1000) == list(range(1000))
    # The strides are summed up and rounded with halves to even, as Python's round does.
    assert kept(300, "10,15,20", 45) == [
        0, 11, 22, 33, 44, 55, 66, 77, 88, 99,
        100, 107, 114, 121, 128, 135, 142, 149, 157, 164, 171, 178, 185, 192, 199,
        200, 205, 210, 216, 221, 226, 231, 236, 242, 247,
        252, 257, 263, 268, 273, 278, 283, 289, 294, 299,
    ]  # fmt: skip
    assert kept(10, "3", 3) == [0, 4, 9]  # 4.5 goes to 4
    assert kept(11, "2,2,2", 6) == [0, 3, 4, 7, 8, 10]  # the first parts get what is left over
    assert kept(30, "1,1,1", 3) == [0, 10, 20]
    assert kept(4000, "250", 250)[:4] == [0, 16, 32, 48]
    assert kept(4000, "250", 250)[-1] == 3999
    assert respaced(Linear(), 250).tolist() == respaced(Linear(), 250, "250").tolist()


@pytest.mark.parametrize(
    ("sections", "count", "message"),
    [
        ("ddim51", 51, "no integer stride keeps exactly 51 of 1000"),
        ("10,10", 30, "has 20 steps, but num_steps is 30"),
        ("2000", 2000, "a section of 1000 times cannot be divided into 2000 steps"),
        ("many", 10, "written like '250', '10,10,10' or 'ddim50', got 'many'"),
        ("ddim10,10", 20, "written like"),
        ("10,0", 10, "written like"),
    ],
)
def test_respacings_that_cannot_be(sections: str, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        respaced(Linear(), count, sections)


def test_grids_that_leave_the_schedule_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 4 steps, got 5"):
        leading(FOUR, 5)
    with pytest.raises(ValueError, match=r"from first=2 reaches t = 5, beyond the schedule's 4"):
        leading(FOUR, 4, first=2, stop=1)


@pytest.mark.parametrize(
    "grid",
    [
        *(uniform_time, linspace, trailing, leading, quadratic, uniform_log_snr, karras, respaced),
        *(partial(grid, stop=1.0) for grid in (uniform_log_snr, karras)),
        partial(leading, first=2, stop=1.0),
        partial(quadratic, first=2, stop=1.0),
    ],
)
@pytest.mark.parametrize("schedule", [Linear(), Cosine(), FromBetas([0.1] * 30)])
def test_every_grid_descends_and_has_one_time_more_than_steps(grid, schedule) -> None:
    for count in (2, 3, 5):
        times = grid(schedule, count)
        assert times.dtype == torch.float64
        assert len(times) == count + 1
        assert (times.diff() < 0).all()
        assert times[0] <= schedule.end
        assert times[-1] == getattr(grid, "keywords", {}).get("stop", 0.0)


def test_pure_noise_at_the_end_enters_where_something_happens() -> None:
    for grid in (uniform_log_snr, karras):
        times = grid(FOUR, 3)
        assert 3 < times[0] < 4
        assert FOUR.log_snr(times[0].item()) == pytest.approx(-10.2)
