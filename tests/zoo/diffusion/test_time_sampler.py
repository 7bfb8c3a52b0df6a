"""Which times are drawn: importance sampling stays unbiased, and survives a pause."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.diffusion.time_sampler import LossSecondMoment, Stratified, Uniform


def grid(count: int) -> torch.Tensor:
    """Numbers that stand for all of [0, 1)."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


def seen(sampler: LossSecondMoment, losses: np.ndarray) -> LossSecondMoment:
    """Shows losses (n, T) in order of their rows."""
    for row in losses:
        sampler.update(torch.arange(1.0, len(row) + 1), torch.tensor(row, dtype=torch.float32))
    return sampler


@pytest.mark.parametrize("sampler", [Uniform(), LossSecondMoment(), Stratified()])
def test_every_time_is_equally_likely_at_first(sampler) -> None:
    uniform = grid(4000) if not isinstance(sampler, Stratified) else torch.full((4000,), 0.5)
    t, weight = sampler.sample(uniform.double(), 8.0)
    assert torch.bincount(t.long(), minlength=9).tolist() == [0] + [500] * 8
    torch.testing.assert_close(weight, torch.ones_like(weight))


def test_times_follow_the_second_moment_of_their_latest_losses() -> None:
    losses = np.random.default_rng(0).uniform(0.1, 2.0, (14, 6)).astype(np.float32)
    sampler = seen(LossSecondMoment(history=10, uniform_share=0.001), losses)
    moments = np.sqrt((losses[-10:].astype(float) ** 2).mean(0))  # the first four are forgotten
    expected = 0.999 * moments / moments.sum() + 0.001 / 6
    np.testing.assert_allclose(sampler.probabilities(6).numpy(), expected, rtol=1e-12)
    t, weight = sampler.sample(grid(200_000), 6.0)
    drawn = torch.bincount(t.long(), minlength=7)[1:].double() / 200_000
    np.testing.assert_allclose(drawn.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(weight.numpy(), 1 / (6 * expected[t.long().numpy() - 1]), rtol=1e-9)


def test_the_weights_keep_a_mean_over_times() -> None:
    sampler = seen(LossSecondMoment(), np.random.default_rng(1).uniform(0.1, 9.0, (10, 5)))
    value = torch.tensor([3.0, -1.0, 4.0, 1.0, 5.0]).double()
    t, weight = sampler.sample(grid(1_000_000), 5.0)
    assert (weight * value[t.long() - 1]).mean().item() == pytest.approx(2.4, abs=1e-4)


def test_it_stays_uniform_until_every_time_has_a_full_history() -> None:
    sampler = seen(LossSecondMoment(history=3), np.full((2, 4), 2.0))
    sampler.update(torch.tensor([1.0, 2.0, 3.0, 3.0]), torch.tensor([9.0, 9.0, 9.0, 9.0]))
    assert sampler.probabilities(4).tolist() == [0.25] * 4
    sampler.update(torch.tensor([4.0]), torch.tensor([2.0]))
    assert sampler.probabilities(4)[3] < 0.25 < sampler.probabilities(4)[0]


def test_the_same_time_may_stand_in_a_batch_twice() -> None:
    sampler = LossSecondMoment(history=2, uniform_share=0.0)
    sampler.update(torch.tensor([1.0, 1.0, 2.0, 1.0, 2.0]), torch.tensor([9.0, 3.0, 1.0, 4.0, 1.0]))
    expected = np.sqrt(12.5)
    assert sampler.probabilities(2)[0].item() == pytest.approx(expected / (expected + 1))


def test_a_state_is_taken_up_and_holds_tensors_only(tmp_path) -> None:
    first = seen(LossSecondMoment(), np.random.default_rng(2).uniform(0.1, 9.0, (13, 5)))
    torch.save(first.state_dict(), tmp_path / "state")
    second = LossSecondMoment()
    second.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    more = np.random.default_rng(3).uniform(0.1, 9.0, (4, 5))
    assert torch.equal(seen(first, more).probabilities(5), seen(second, more).probabilities(5))
    with pytest.raises(ValueError, match=r"set recipe.time_sampler.history=10"):
        LossSecondMoment(history=3).load_state_dict(first.state_dict())
    assert Uniform().state_dict() == {}


@pytest.mark.parametrize("arguments", [{"history": 0}, {"uniform_share": 1.5}])
def test_impossible_arguments_are_refused(arguments) -> None:
    with pytest.raises(ValueError, match="history is at least 1"):
        LossSecondMoment(**arguments)


def test_every_process_learns_from_the_whole_batch(monkeypatch) -> None:
    t, loss = torch.tensor([1.0, 2.0, 3.0, 1.0]).double(), torch.tensor([5.0, 6.0, 7.0, 8.0])
    whole = LossSecondMoment(history=2)
    whole.update(t, loss)
    halves = [torch.stack([t[rows].float(), loss[rows]]) for rows in (slice(2), slice(2, 4))]

    def all_gather(parts, mine):
        for part, half in zip(parts, halves, strict=True):
            part.copy_(half)

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather", all_gather)
    for rows in (slice(2), slice(2, 4)):
        sampler = LossSecondMoment(history=2)
        sampler.update(t[rows], loss[rows])
        assert torch.equal(sampler.state_dict()["losses"], whole.state_dict()["losses"])
        assert torch.equal(sampler.state_dict()["counts"], whole.state_dict()["counts"])


def test_a_real_group_of_one_process_changes_nothing(tmp_path) -> None:
    alone, grouped = LossSecondMoment(history=2), LossSecondMoment(history=2)
    t, loss = torch.tensor([2.0, 1.0]).double(), torch.tensor([5.0, 6.0])
    alone.update(t, loss)
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        grouped.update(t, loss)
    finally:
        torch.distributed.destroy_process_group()
    assert torch.equal(grouped.state_dict()["losses"], alone.state_dict()["losses"])
