"""The checks of the conformance suite, in the order of their verdicts."""

from __future__ import annotations

from collections.abc import Iterator

from zoo.conformance import behaviour, convergence
from zoo.conformance.verdict import Check as Check
from zoo.conformance.verdict import Verdict as Verdict
from zoo.sampler import Sampler

CHECKS: tuple[Check, ...] = (
    convergence.gaussian, convergence.mixture, convergence.order, convergence.last_step,
    behaviour.start, behaviour.one_step, behaviour.every_time, behaviour.odd_steps,
    behaviour.evaluations, behaviour.learned_variance, behaviour.same_seed, behaviour.batches,
    behaviour.untouched, behaviour.tail, behaviour.pure_noise, behaviour.single_precision,
    behaviour.written_down,
)  # fmt: skip


def conformance(sampler: Sampler) -> Iterator[Verdict]:
    """Every check's verdict on a sampler; an exception within a check is a failure of it."""
    for check in CHECKS:
        asks = (check.__doc__ or "").partition("\n")[0]
        try:
            yield check(sampler)._replace(asks=asks)
        except Exception as error:  # whatever a user's sampler raises is the verdict
            words = check.__name__.replace("_", " ")
            yield Verdict(words, False, f"{type(error).__name__}: {error}", asks)
