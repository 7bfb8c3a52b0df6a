"""Samplers against diffusers, natively and through the adapter; float32, within 1e-5."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from zoo.checkpoint.build import build
from zoo.conformance.data import GAUSSIAN
from zoo.conformance.walk import walk
from zoo.draw import Draw
from zoo.part import config_of
from zoo.sampler import DDIM, DiffusersScheduler
from zoo.schedule import FromBetas, Linear, ScaledLinear

_spec = importlib.util.spec_from_file_location("peers", Path(__file__).with_name("peers.py"))
assert _spec is not None and _spec.loader is not None
peers = importlib.util.module_from_spec(_spec)
sys.modules["peers"] = peers
_spec.loader.exec_module(peers)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
OURS = [name for name, peer in peers.PEERS.items() if peer.ours is not None]
ADAPTED = [name for name, peer in peers.PEERS.items() if not peer.rounds]


@pytest.mark.parametrize("name", OURS)
def test_natively(name: str) -> None:
    peer = peers.PEERS[name]
    assert peers.difference(peers.native(peer), peers.theirs(peer, True)) <= 1e-5


@pytest.mark.parametrize("name", ADAPTED)
def test_through_the_adapter(name: str) -> None:
    peer = peers.PEERS[name]
    assert peers.difference(peers.adapted(peer), peers.theirs(peer, False)) <= 1e-5


def test_ddims_previous_timestep_is_wrong_there_with_linspace() -> None:
    schedule = Linear()
    x = torch.linspace(-1.5, 1.5, 8, dtype=torch.float64).reshape(1, 1, 1, 8)
    theirs = DiffusersScheduler(400, config={"timestep_spacing": "linspace"})
    levels = theirs.levels(schedule)
    wanted = GAUSSIAN.flow(x, levels[0], levels[-1])
    off_theirs, off_ours = (
        (walk(sampler, schedule, GAUSSIAN.predict(), x, levels) - wanted).abs().max().item()
        for sampler in (theirs, DDIM(400))
    )
    assert off_theirs > 10 * off_ours


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_whatever_the_scheduler_wants_to_see(kind: str) -> None:
    schedule, x = ScaledLinear(), torch.ones(1, 1, 4, 4, dtype=torch.float64)
    config = {"timestep_spacing": "trailing", "prediction_type": kind}
    theirs = walk(DiffusersScheduler(10, config=config), schedule, GAUSSIAN.predict(), x)
    ours = walk(DDIM(10), schedule, GAUSSIAN.predict(), x)
    torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-6)


def test_a_walk_may_begin_later_but_only_on_its_own_levels() -> None:
    sampler = DiffusersScheduler(10, "UniPCMultistepScheduler", {"timestep_spacing": "trailing"})
    schedule, x = Linear(), torch.ones(1, 1, 2, 2)
    levels = sampler.levels(schedule)
    draw = Draw(0, [0], "steps")
    assert len(list(sampler.steps(GAUSSIAN.predict(), x, levels[4:], draw, schedule))) == 6
    with pytest.raises(ValueError, match="walks its own timesteps or a tail of them"):
        list(sampler.steps(GAUSSIAN.predict(), x, schedule.levels([900, 0]), draw, schedule))


def test_where_it_starts() -> None:
    unit, first = torch.ones(1), ScaledLinear()(1000)
    for scheduler, config, wanted in (
        ("DDIMScheduler", {}, 1.0),
        ("EulerDiscreteScheduler", {"timestep_spacing": "leading"}, 1.0),
        ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}, first.sigma),
        ("HeunDiscreteScheduler", {}, first.sigma),
        ("DPMSolverMultistepScheduler", {}, 1.0),
    ):
        start = DiffusersScheduler(10, scheduler, config).start(unit, first)
        assert start.item() == pytest.approx(wanted, rel=1e-6), scheduler


def test_from_pure_noise() -> None:
    schedule = FromBetas([0.1, 0.3, 0.5, 1.0])
    for scheduler in ("DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler"):
        sampler = DiffusersScheduler(4, scheduler, {"timestep_spacing": "trailing"})
        end = walk(sampler, schedule, GAUSSIAN.predict(), torch.ones(2, 1, 2, 2))
        assert end.isfinite().all(), scheduler


def test_it_is_written_down_and_built_again() -> None:
    sampler = DiffusersScheduler(7, "PNDMScheduler", {"skip_prk_steps": True})
    again = build(config_of(sampler))
    assert config_of(again) == config_of(sampler)
    assert [level.t for level in again.levels(Linear())] == [
        level.t for level in sampler.levels(Linear())
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheduler": "NoScheduler"}, "has no scheduler called 'NoScheduler'"),
        ({"scheduler": "UNet2DModel"}, "has no scheduler called"),
        ({"scheduler": "FlowMatchEulerDiscreteScheduler"}, "does not walk a table of betas"),
        ({"config": {"spacing": "trailing"}}, "DDIMScheduler takes no spacing; possible are"),
        (
            {"scheduler": "DDPMScheduler", "config": {"variance_type": "learned"}},
            "use 'learned_range'",
        ),
        ({"config": {"prediction_type": "flow"}}, "prediction_type is one of epsilon, sample"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        walk(
            DiffusersScheduler(5, **arguments), Linear(), GAUSSIAN.predict(), torch.ones(1, 1, 2, 2)
        )


def test_without_diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match="needs diffusers, which is not installed: pip install"):
        DiffusersScheduler(5).levels(Linear())
