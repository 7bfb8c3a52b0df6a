"""Improved-diffusion's formulas in float64 beside ours: posterior, bound, likelihood, losses.

    ZOO_REFERENCES=/path/with/checkouts python benchmarks/golden_losses.py

The path holds openai+improved-diffusion. Its tables are cast to float32 where they are looked up;
here they are not. Compares every time of every chain, writes the largest differences into
benchmarks/golden_losses.csv and some of the numbers into tests/golden/losses.safetensors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from _formula import values

from zoo.diffusion.gaussian import GaussianDiffusion, per_image
from zoo.diffusion.likelihood import discretized_gaussian_nll
from zoo.diffusion.objective import Hybrid, Vlb
from zoo.diffusion.parameterization import X0, Epsilon
from zoo.diffusion.posterior import log_variance, posterior, variance_floor
from zoo.diffusion.time_sampler import LossSecondMoment
from zoo.diffusion.variance import FixedVariance, LearnedVariance
from zoo.records import Level
from zoo.sampler.grid import respaced
from zoo.schedule import Cosine, Linear, NoiseSchedule

REFERENCES = Path(os.environ.get("ZOO_REFERENCES", "."))
GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "losses.safetensors"


class Case(NamedTuple):
    """A chain and a model: their names in improved-diffusion, their parts here."""

    name: str
    schedule: str
    spacing: str
    variance: str = "LEARNED_RANGE"
    mean: str = "EPSILON"
    every: int = 1  # how many of the times the golden file keeps: each n-th and the ends

    @property
    def steps(self) -> int:
        return int(self.schedule.split()[1])

    def kept(self, count: int) -> Tensor:
        place = torch.arange(count)
        return place[(place % self.every == 0) | (place < 12) | (place >= count - 4)]


CASES = [
    Case("linear", "linear 1000", "1000", every=2),
    Case("cosine", "cosine 4000", "4000", every=32),
    Case("250", "linear 1000", "250", every=4),
    Case("ddim50", "linear 1000", "ddim50"),
    Case("sections", "linear 1000", "10,10,10"),
    Case("cosine_100", "cosine 4000", "100"),
    Case("fixed_small", "linear 1000", "1000", "FIXED_SMALL", every=64),
    Case("fixed_large", "linear 1000", "1000", "FIXED_LARGE", every=64),
    Case("fixed_large_25", "linear 1000", "25", "FIXED_LARGE"),
    Case("x0", "cosine 4000", "4000", mean="START_X", every=128),
]
LOSSES = [("hybrid", "RESCALED_MSE", Hybrid()), ("vlb", "RESCALED_KL", Vlb())]


class Inputs(NamedTuple):
    """One example per time of a chain: 8-bit x0, noise, and a network's output."""

    x0: Tensor
    noise: Tensor
    output: Tensor


def inputs(case: Case, count: int) -> Inputs:
    grey = ((values(f"{case.name}.x0", count, 1, 2, 2) * 1.2).clamp(-1, 1) + 1) * 127.5
    channels = 2 if case.variance == "LEARNED_RANGE" else 1
    return Inputs(
        grey.round() / 127.5 - 1,
        values(f"{case.name}.noise", count, 1, 2, 2) * 1.7,
        values(f"{case.name}.output", count, channels, 2, 2),
    )


def second_moments() -> np.ndarray:
    return values("losses", 14, 6).abs().add(0.1).numpy()


# Theirs


def theirs(case: Case) -> dict[str, Tensor]:
    diffusion = their_diffusion(case, "KL")
    count = diffusion.num_timesteps
    x0, noise, output = inputs(case, count)
    t = torch.arange(count)
    x = diffusion.q_sample(x0, t, noise)
    mean, _, log_var = diffusion.q_posterior_mean_variance(x0, x, t)
    made = diffusion.p_mean_variance(lambda *_: output, x, t)
    found = {
        "posterior_mean": mean[:, 0, 0, 0],
        "posterior_log_variance": log_var[:, 0, 0, 0],
        "model_mean": made["mean"][:, 0, 0, 0],
        "model_log_variance": made["log_variance"][:, 0, 0, 0],
    }
    for name, clip in (("vlb", True), ("vlb_unclipped", False)):
        terms = diffusion._vb_terms_bpd(lambda *_: output, x0, x, t, clip_denoised=clip)
        found[name] = terms["output"]
    found["prior"] = diffusion._prior_bpd(x0)
    return found


def their_diffusion(case: Case, loss: str) -> Any:
    from improved_diffusion import gaussian_diffusion as reference
    from improved_diffusion.respace import SpacedDiffusion, space_timesteps

    return SpacedDiffusion(
        use_timesteps=space_timesteps(case.steps, case.spacing),
        betas=reference.get_named_beta_schedule(case.schedule.split()[0], case.steps),
        model_mean_type=reference.ModelMeanType[case.mean],
        model_var_type=reference.ModelVarType[case.variance],
        loss_type=reference.LossType[loss],
        rescale_timesteps=False,
    )


def their_losses(case: Case, loss: str) -> dict[str, Tensor]:
    diffusion = their_diffusion(case, loss)
    x0, noise, output = inputs(case, diffusion.num_timesteps)
    output.requires_grad_()
    t = torch.arange(diffusion.num_timesteps)
    terms = diffusion.training_losses(lambda *_: output, x0, t, noise=noise)
    (gradient,) = torch.autograd.grad(terms["loss"].sum(), output)
    return {"loss": terms["loss"].detach(), "gradient": gradient}


def their_likelihood() -> Tensor:
    from improved_diffusion.losses import discretized_gaussian_log_likelihood

    x, mean, log_var = likelihood_inputs()
    return -discretized_gaussian_log_likelihood(x, means=mean, log_scales=0.5 * log_var)


def their_shares() -> Tensor:
    from types import SimpleNamespace

    from improved_diffusion.resample import LossSecondMomentResampler

    sampler = LossSecondMomentResampler(SimpleNamespace(num_timesteps=6))
    for row in second_moments():
        sampler.update_with_all_losses(range(6), row)
    return torch.from_numpy(sampler.weights() / sampler.weights().sum())


def float64_tables() -> None:
    from improved_diffusion import gaussian_diffusion as reference

    def extract(table: np.ndarray, t: Tensor, shape: tuple[int, ...]) -> Tensor:
        rows = torch.from_numpy(np.asarray(table, dtype=np.float64))[t]
        return rows.view(-1, *[1] * (len(shape) - 1)).expand(shape)

    reference._extract_into_tensor = extract
    np.int = int  # noqa: NPY001  (their resampler asks for it)


# Ours


def likelihood_inputs() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.linspace(-1, 1, 256, dtype=torch.float64)
    return x, x + 0.1 * values("likelihood.mean", 256), 6 * values("likelihood.log_var", 256) - 5


def our_likelihood() -> Tensor:
    return discretized_gaussian_nll(*likelihood_inputs())


def our_shares() -> Tensor:
    sampler = LossSecondMoment()
    for row in torch.from_numpy(second_moments()):
        sampler.update(torch.arange(1.0, 7.0), row)
    return sampler.probabilities(6)


def chain(case: Case, schedule: NoiseSchedule) -> Tensor:
    """The times of a respaced chain, ascending, 1 the first."""
    spacing = case.spacing
    counts = [spacing[4:]] if spacing.startswith("ddim") else spacing.split(",")
    return respaced(schedule, sum(map(int, counts)), spacing)[:-1].flip(0)


def our_diffusion(case: Case, objective: Any = None) -> GaussianDiffusion:
    variance = {
        "LEARNED_RANGE": LearnedVariance(),
        "FIXED_SMALL": FixedVariance(0.0),
        "FIXED_LARGE": FixedVariance(1.0),
    }[case.variance]
    schedule = (Linear if case.schedule.startswith("linear") else Cosine)(case.steps)
    kind = Epsilon() if case.mean == "EPSILON" else X0()
    return GaussianDiffusion(schedule, kind, variance, objective or Vlb())


def ours(case: Case) -> dict[str, Tensor]:
    diffusion = our_diffusion(case)
    times = chain(case, diffusion.schedule)
    floor = variance_floor(diffusion.schedule.levels([*reversed(times.tolist()), 0.0]))
    x0, noise, output = inputs(case, len(times))
    noised = diffusion.noise(x0, times, noise)
    now = noised.level
    to: Level = diffusion.schedule(torch.cat([times.new_zeros(1), times[:-1]]))
    c_x, c_x0, beta, small = (per_image(v, x0) for v in posterior(now, to))
    prediction = diffusion.predict(output, noised.x, now)
    clipped = prediction._replace(x0=prediction.x0.clamp(-1, 1))
    floors = torch.tensor(floor, dtype=torch.float64)
    shapes = torch.zeros_like(x0)
    return {
        "posterior_mean": (c_x * noised.x + c_x0 * x0)[:, 0, 0, 0],
        "posterior_log_variance": log_variance(0.0, beta, small, floors)[:, 0, 0, 0],
        "model_mean": (c_x * noised.x + c_x0 * clipped.x0)[:, 0, 0, 0],
        "model_log_variance": (
            shapes + log_variance(prediction.variance_fraction, beta, small, floors)
        )[:, 0, 0, 0],
        "vlb": diffusion.vlb_term(x0, clipped, now, to, floor),
        "vlb_unclipped": diffusion.vlb_term(x0, prediction, now, to, floor),
        "prior": diffusion.prior_term(x0, diffusion.schedule(times[-1].item())),
    }


def our_losses(case: Case, objective: Any) -> dict[str, Tensor]:
    diffusion = our_diffusion(case, objective)
    times = torch.arange(1.0, case.steps + 1, dtype=torch.float64)
    x0, noise, output = inputs(case, case.steps)
    output.requires_grad_()
    loss = objective(diffusion, diffusion.noise(x0, times, noise), output)["loss"]
    (gradient,) = torch.autograd.grad(loss.sum(), output)
    return {"loss": loss.detach(), "gradient": gradient}


# Both


def pairs() -> Iterator[tuple[str, int, Tensor, Tensor, Tensor]]:
    """name, number compared, theirs, ours, and which rows the golden file keeps."""
    for case in CASES:
        reference, own = theirs(case), ours(case)
        for name, value in reference.items():
            kept = case.kept(len(value)) if name != "prior" else torch.arange(4)
            yield f"{case.name}.{name}", len(value), value, own[name], kept
    case = CASES[0]
    for name, loss, objective in LOSSES:
        reference, own = their_losses(case, loss), our_losses(case, objective)
        for what, value in reference.items():
            kept = case._replace(every=64).kept(len(value))
            yield f"{name}.{what}", len(value), value, own[what], kept
    every = torch.arange(256)
    yield "likelihood", 256, their_likelihood(), our_likelihood(), every
    yield "time_sampler.shares", 6, their_shares(), our_shares(), every[:6]


def main() -> None:
    from _table import write
    from safetensors.torch import save_file

    sys.path.insert(0, str(REFERENCES / "openai+improved-diffusion"))
    float64_tables()
    rows, kept = [], {}
    for name, count, reference, own, indices in pairs():
        off = (own - reference).abs() / reference.abs().clamp(min=1e-300)
        off[(own == 0) & (reference == 0)] = 0
        row = {"quantity": name, "times": count, "largest_relative_difference": off.max().item()}
        rows.append(row)
        kept[name] = reference[indices].contiguous()
    GOLDEN.parent.mkdir(exist_ok=True)
    save_file(kept, GOLDEN)
    write(__file__, rows)
    print(f"wrote {GOLDEN}, {GOLDEN.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
