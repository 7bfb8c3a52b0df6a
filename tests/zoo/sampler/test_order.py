"""Deterministic samplers converge to the exact probability flow with the order of their theory."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from zoo.conformance.data import GAUSSIAN, MIXTURE
from zoo.conformance.walk import ORDER_STEPS, flow_errors, slope
from zoo.sampler import DDIM, PLMS, DPMSolver, DPMSolver3M, Euler, Heun, UniPC
from zoo.sampler.grid import uniform_log_snr
from zoo.schedule import Cosine, Linear

THEORY = {
    "DDIM": (DDIM, 1),
    "Euler": (Euler, 1),
    "PLMS": (PLMS, 2),
    "Heun": (Heun, 2),
    "DPMSolver": (DPMSolver, 2),
    "UniPC 1": (partial(UniPC, order=1), 1),
    "UniPC 2": (UniPC, 2),
    "UniPC 2 bh1": (partial(UniPC, variant="bh1"), 2),
    "UniPC 3": (partial(UniPC, order=3), 3),
    "DPMSolver3M": (DPMSolver3M, 3),
}


@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("data", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("name", THEORY)
def test_the_slope_of_error_over_steps(name: str, data, schedule) -> None:
    make, order = THEORY[name]
    assert make(10).order == order
    assert slope(flow_errors(make, data, schedule)) >= order - 0.1


def exact_history_errors(data) -> list[float]:
    """3M's errors where its first two steps are given the exact x."""
    schedule, errors = Linear(), []
    x = torch.linspace(-1.5, 1.5, 5, dtype=torch.float64).reshape(1, 1, 1, 5)
    for count in ORDER_STEPS:
        levels = schedule.levels(uniform_log_snr(schedule, count, stop=1.0))
        steps = DPMSolver3M(count).steps(data.predict(), x, levels, None, schedule)  # type: ignore[arg-type]
        for k, y in enumerate(steps, 1):
            if k <= 2:  # the walk goes on from the tensor it has yielded
                y.copy_(data.flow(x, levels[0], levels[k]))
        errors.append((y - data.flow(x, levels[0], levels[-1])).abs().max().item())
    return errors


@pytest.mark.parametrize("data", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
def test_3m_is_third_order_from_exact_history(data) -> None:
    assert slope(exact_history_errors(data)) >= 2.9


def test_3m_as_published_is_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.sampler import dpm_solver_3m

    true = dpm_solver_3m.newton_weights

    def published(h: float, lengths: list[float]) -> list[float]:
        weights = true(h, lengths)
        if len(lengths) < 2:
            return weights
        # half of the second difference's 2 phi_3; its slope term stays
        phi_2 = true(h, lengths[:1])[1] * -lengths[0]
        bend = (h * h - 2 * phi_2) / 2 / sum(lengths)
        newer, older = bend / lengths[0], bend / lengths[1]
        return [weights[0] - newer, weights[1] + newer + older, weights[2] - older]

    monkeypatch.setattr(dpm_solver_3m, "newton_weights", published)
    for data in (GAUSSIAN, MIXTURE):
        assert 1.9 <= slope(exact_history_errors(data)) <= 2.3
