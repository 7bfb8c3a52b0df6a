"""Mistakes planted in samplers, schedules and their neighbours: the suite must catch every one.

Each mutation replaces a piece of a function's own source by a plausible slip; checks of the suite,
which pass on the code as it is, must then fail.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from zoo.conformance import behaviour, convergence
from zoo.diffusion import posterior as posteriors
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.parameterization import Epsilon
from zoo.diffusion.variance import LearnedVariance
from zoo.guidance import ClassifierFree
from zoo.layers import block as layers
from zoo.records import Condition, Prediction
from zoo.sampler import (
    DDIM,
    PLMS,
    Ancestral,
    DPMSolver,
    DPMSolver3M,
    DPMSolverSDE,
    Euler,
    Heun,
    UniPC,
    ancestral,
    dpm_solver_3m,
    grid,
    unipc,
)
from zoo.schedule import Cosine, Linear, NoiseSchedule

TESTS = Path(__file__).parent


@contextmanager
def mutated(function: Any, old: str, new: str) -> Iterator[None]:
    """Within, ``function`` runs with ``old``, which its source holds once, replaced by ``new``.

    The code object is exchanged, so that every module that imported the function has the mistake.
    """
    function = inspect.unwrap(function)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"'{old}' stands {source.count(old)} times in\n{source}"
    lines = [line for line in source.replace(old, new).split("\n") if not line.startswith("@")]
    body = textwrap.indent("\n".join(lines), "    ")
    free = function.__code__.co_freevars
    head = f"from __future__ import annotations\ndef outer({', '.join(free)}):\n"
    text = f"{head}{body}\n    return {function.__name__}\n"
    namespace = dict(function.__globals__)
    exec(compile(text, "mutated", "exec", dont_inherit=True), namespace)
    before = function.__code__
    function.__code__ = namespace["outer"](*free).__code__
    unipc._table.cache_clear()
    try:
        yield
    finally:
        function.__code__ = before
        unipc._table.cache_clear()


def suite(file: str, test: str, *arguments: Any) -> Callable[[], None]:
    """A test of the suite as a check; its file is loaded anew, for it builds objects on top."""

    return lambda: getattr(loaded(file), test)(*arguments)


def recursion(kind: Any) -> Callable[[], None]:
    """The sampler's recursion on a Gaussian."""
    name = "test_mean_and_variance_equal_the_methods_recursion"
    return suite("sampler/test_samplers.py", name, kind, grid.trailing)


def conforms(check: Any, sampler: Any) -> Callable[[], None]:
    """A check of ``zoo check``."""

    def asserted() -> None:
        verdict = check(sampler)
        assert verdict.passed, verdict.detail

    return asserted


def published(name: str) -> Callable[[], None]:
    """A schedule's table against the paper's betas."""
    test = "test_integer_times_give_the_published_table_to_1e_12"
    return suite("schedule/test_schedules.py", test, name)


def table() -> None:
    """alpha^2 at t is the product of 1 - beta up to t (DDPM, eq. 4)."""
    schedule, alpha2 = Linear(), 1.0
    for t in range(1, 1001):
        alpha2 *= 1 - (1e-4 + (t - 1) / 999 * (0.02 - 1e-4))
        assert schedule(t).alpha ** 2 == pytest.approx(alpha2, rel=1e-10)


def guided() -> None:
    """eps = (1 + w) eps_c - w eps_u (arXiv:2207.12598, eq. 6), with scale 1 + w."""
    w, x, level = 1.5, torch.ones(2, 1, 2, 2), Linear()(500)
    eps = {"conditional": 0.3, "null": -0.2}
    means = {k: (x - level.sigma * v) / level.alpha for k, v in eps.items()}

    def predict(x, level, condition):
        rows = [means["null" if label < 0 else "conditional"][:1] for label in condition.vector]
        return Prediction(torch.cat(rows))

    labels = torch.tensor([3, 3])
    predict = ClassifierFree(1 + w)(
        predict, Condition(vector=labels), Condition(vector=-labels), lambda x0: x0
    )
    wanted = (1 + w) * eps["conditional"] - w * eps["null"]
    found = (x - level.alpha * predict(x, level).x0) / level.sigma
    torch.testing.assert_close(found, torch.full_like(x, wanted))


class Mutation(NamedTuple):
    """A slip and the checks that must see it."""

    function: Any
    old: str
    new: str
    caught_by: tuple[Callable[[], None], ...]


LOOP = "for now, to in pairwise(levels):"
EARLIER = f"{LOOP}\n        to = schedule(max(to.t - 1.0, 0.0))"
GOLDEN = "diffusion/test_against_improved_diffusion.py"
GAUSSIAN = "diffusion/test_gaussian.py"


def loaded(file: str) -> Any:
    """A test file of the suite, loaded anew."""
    path = TESTS / file
    spec = importlib.util.spec_from_file_location(f"mutated_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def bound() -> None:
    """The terms of the bound beside improved-diffusion's."""
    module = loaded(GOLDEN)
    module.test_every_term_of_the_bound_is_theirs(module.golden.CASES[0])


def losses() -> None:
    """L_hybrid and its gradient beside improved-diffusion's."""
    module = loaded(GOLDEN)
    module.test_losses_and_their_gradients_are_theirs(*module.golden.LOSSES[0])


MUTATIONS = {
    # the previous time off by one
    **{
        f"previous time: {kind.__name__}": Mutation(kind.steps, LOOP, EARLIER, (recursion(kind),))
        for kind in (Ancestral, DDIM, PLMS, DPMSolver, DPMSolver3M, DPMSolverSDE)
    },
    "previous time: Heun": Mutation(
        Heun.steps,
        "if begin is not now:",
        "to = schedule(max(to.t - 1.0, 0.0))\n        if begin is not now:",
        (recursion(Heun),),
    ),
    "previous time: UniPC": Mutation(
        unipc._table,
        "enumerate(pairwise(levels))",
        "enumerate(zip(levels, (*levels[2:], levels[-1])))",
        (recursion(UniPC),),
    ),
    "previous time: the bound": Mutation(
        GaussianDiffusion.vlb, "noised.level.t - 1", "noised.level.t - 2", (losses,)
    ),
    "time: the schedule's table": Mutation(
        NoiseSchedule.log_snr,
        "np.clip(times - 1 - lower",
        "np.clip(times - lower",
        (table,),
    ),
    "time: the leading grid": Mutation(
        grid.leading, "* stride + first", "* stride + first - 1",
        (suite("sampler/test_grids.py", "test_linear_ones"),),
    ),
    "time: respacing": Mutation(
        grid.respaced, "dtype=torch.float64) + 1", "dtype=torch.float64)",
        (suite("sampler/test_grids.py", "test_respaced_keeps_the_published_timesteps"),),
    ),
    # beta for beta-tilde
    "beta for beta-tilde": Mutation(
        posteriors.posterior, "small=beta * share", "small=beta",
        (
            recursion(Ancestral),
            suite(GAUSSIAN, "test_posterior_is_bayes_rule", Linear(), 500, 499),
        ),
    ),
    # the clip at t = 1 dropped
    "clip at t = 1: levels as tensors": Mutation(
        posteriors.log_variance,
        "lower = torch.where(small > 0, small, floor).log()",
        "lower = small.clamp(min=1e-20).log()",
        (bound,),
    ),
    "clip at t = 1: levels as numbers": Mutation(
        posteriors.log_variance,
        "math.log(small if small > 0 else floor)",
        "math.log(max(small, 1e-20))",
        (
            suite(GAUSSIAN, "test_learned_variance_equals_diffusers_learned_range", 1),
            suite(
                "sampler/test_samplers.py",
                "test_a_classifiers_gradient_moves_the_mean_by_the_variance",
                "tensor",
            ),
        ),
    ),
    # noise in the last step
    "noise in the last step": Mutation(
        Ancestral.steps, "if to.sigma > 0:", "if True:",
        (
            conforms(convergence.last_step, Ancestral(5)),
            suite(
                "sampler/test_samplers.py",
                "test_the_last_step_returns_the_prediction_without_noise",
                Ancestral,
            ),
        ),
    ),
    # the variance's fraction swapped
    "fraction: numbers": Mutation(
        posteriors.log_variance,
        "return fraction * high + (1 - fraction) * low",
        "return fraction * low + (1 - fraction) * high",
        (
            suite("sampler/test_samplers.py", "test_ancestral_with_any_variance_fraction", 0.4),
            suite(GAUSSIAN, "test_learned_variance_equals_diffusers_learned_range", 2),
        ),
    ),
    "fraction: tensors": Mutation(
        posteriors.log_variance,
        "return fraction * upper + (1 - fraction) * lower",
        "return fraction * lower + (1 - fraction) * upper",
        (bound,),
    ),
    "fraction: in the loop": Mutation(
        ancestral._std,
        "(fraction * (high - low)).add_(low)",
        "(fraction * (low - high)).add_(high)",
        (conforms(behaviour.learned_variance, Ancestral(5)),),
    ),
    "fraction: reading": Mutation(
        LearnedVariance.split, "(raw + 1) / 2", "(1 - raw) / 2", (losses,)
    ),
    # 2M's half, and its like
    "2M's half": Mutation(
        DPMSolver.steps, "0.5 * weight", "1.0 * weight",
        (recursion(DPMSolver), conforms(convergence.order, DPMSolver(5))),
    ),
    "SDE's half": Mutation(
        DPMSolverSDE.steps, "0.5 * weight", "1.0 * weight", (recursion(DPMSolverSDE),)
    ),
    "3M's 2 phi_3": Mutation(
        dpm_solver_3m.newton_weights,
        "q2 = h * h - 2 * q1",
        "q2 = 0.5 * (h * h - 2 * q1)",
        (recursion(DPMSolver3M), conforms(convergence.order, DPMSolver3M(5))),
    ),
    "Heun's half": Mutation(
        Heun.steps, "second = 0.5 *", "second = 0.6 *",
        (recursion(Heun), conforms(convergence.order, Heun(5))),
    ),
    "UniPC's factorial": Mutation(
        unipc._solution, "psi / -h - 1 / math.factorial(n + 1)", "psi / -h - 1 / math.factorial(n)",
        (recursion(UniPC), conforms(convergence.order, UniPC(5, order=3))),
    ),
    "PLMS without its first Heun step": Mutation(
        PLMS.steps, "if not history and to.sigma > 0:", "if False:",
        (recursion(PLMS), conforms(behaviour.evaluations, PLMS(5))),
    ),
    # the schedules
    "cosine's offset": Mutation(
        Cosine.__init__, "(t + offset) / (1 + offset)", "t", (published("cosine"),)
    ),
    # the guidance's scale
    "w for 1 + w": Mutation(
        ClassifierFree._mixed,
        "conditional.x0, self.scale)",
        "conditional.x0, self.scale - 1)",
        (guided,),
    ),
    # the time embedding
    "sin and cos": Mutation(
        layers.time_embedding,
        "[sine, cosine] if sine_first else [cosine, sine]",
        "[cosine, sine] if sine_first else [sine, cosine]",
        (
            suite("layers/test_layers.py", "test_time_embedding_of_openai"),
            suite("layers/test_layers.py", "test_time_embedding_of_ddpm"),
        ),
    ),
    # the sign of eps
    "sign of eps: reading": Mutation(
        Epsilon.reading, "-sigma / alpha", "sigma / alpha",
        (suite(GAUSSIAN, "test_reading_the_target_gives_back_x0", Epsilon),),
    ),
    "sign of eps: target": Mutation(
        Epsilon.target, "return noise", "return -noise",
        (suite(GAUSSIAN, "test_reading_the_target_gives_back_x0", Epsilon),),
    ),
    "sign of eps: DDIM": Mutation(
        DDIM.steps, "to.alpha - c_x * now.alpha", "to.alpha + c_x * now.alpha",
        (recursion(DDIM), conforms(convergence.gaussian, DDIM(5))),
    ),
    "start of k-diffusion": Mutation(
        Euler.start, "noise * first.sigma", "noise",
        (suite("sampler/test_samplers.py", "test_where_walks_start"),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_suite_catches(name: str) -> None:
    mutation = MUTATIONS[name]
    for check in mutation.caught_by:
        with (
            mutated(mutation.function, mutation.old, mutation.new),
            pytest.raises(AssertionError),
        ):
            check()


def test_every_check_passes_on_the_code_as_it_is() -> None:
    for name, mutation in MUTATIONS.items():
        for check in mutation.caught_by:
            try:
                check()
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error


def test_a_mutation_ends_with_its_context() -> None:
    with mutated(Epsilon.target, "return noise", "return -noise"):
        assert Epsilon().target(0, 1, 0, 0) == -1  # type: ignore[arg-type]
    assert Epsilon().target(0, 1, 0, 0) == 1  # type: ignore[arg-type]
