"""Posterior, bound, likelihood and losses beside improved-diffusion's own, in float64.

``benchmarks/golden_losses.py`` ran its code on every time of these chains and kept some.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo.diffusion.objective import Hybrid

ROOT = Path(__file__).parents[3]
GOLDEN = load_file(ROOT / "tests" / "golden" / "losses.safetensors")


def _script():
    path = ROOT / "benchmarks" / "golden_losses.py"
    spec = importlib.util.spec_from_file_location("golden_losses", path)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


golden = _script()
NAMES = (
    "posterior_mean", "posterior_log_variance", "model_mean", "model_log_variance", "vlb",
    "vlb_unclipped", "prior",
)  # fmt: skip


@pytest.mark.parametrize("case", golden.CASES, ids=lambda case: case.name)
def test_every_term_of_the_bound_is_theirs(case) -> None:
    ours = golden.ours(case)
    assert set(ours) == set(NAMES)
    for name in NAMES:
        expected = GOLDEN[f"{case.name}.{name}"]
        rows = case.kept(len(ours[name])) if name != "prior" else torch.arange(4)
        assert expected.dtype == torch.float64 and expected.abs().min() > 0
        torch.testing.assert_close(
            ours[name][rows], expected, rtol=1e-7, atol=0, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize(("name", "loss", "objective"), golden.LOSSES, ids=["hybrid", "vlb"])
def test_losses_and_their_gradients_are_theirs(name, loss, objective) -> None:
    ours = golden.our_losses(golden.CASES[0], objective)
    rows = golden.CASES[0]._replace(every=64).kept(1000)
    for what in ("loss", "gradient"):
        expected = GOLDEN[f"{name}.{what}"]
        torch.testing.assert_close(ours[what][rows], expected, rtol=1e-6, atol=0)


def test_no_gradient_of_the_bound_reaches_the_mean_at_any_time() -> None:
    case = golden.CASES[0]
    diffusion = golden.our_diffusion(case, Hybrid())
    times = torch.arange(1.0, case.steps + 1, dtype=torch.float64)
    x0, noise, output = golden.inputs(case, case.steps)
    output.requires_grad_()
    losses = diffusion.losses(diffusion.noise(x0, times, noise), output)
    (gradient,) = torch.autograd.grad(losses["vlb"].sum(), output)
    assert (gradient[:, :1] == 0).all()
    assert (gradient[:, 1:] != 0).all()


def test_the_discretized_likelihood_is_theirs() -> None:
    torch.testing.assert_close(golden.our_likelihood(), GOLDEN["likelihood"], rtol=1e-9, atol=0)


def test_the_shares_of_the_times_are_theirs() -> None:
    torch.testing.assert_close(  # losses are kept as the float32 that they are computed in
        golden.our_shares(), GOLDEN["time_sampler.shares"], rtol=1e-7, atol=0
    )
