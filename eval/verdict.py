"""Which differences between a table's rows are more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from eval.result import Result
from eval.uncertainty import Difference, Estimate, holm, paired_difference

VERDICT_NOTE = (
    "Said of these weights: both rows' images were made from the same seeds in ten blocks, and the "
    "blocks' differences were tested (paired t test, p adjusted for all pairs by Holm). Another "
    "training of the same method may fall out differently."
)


@dataclass(frozen=True)
class Verdict:
    """What may be said of two rows in one metric: of *these weights*, not of the method.

    Attributes:
        metric: the value's name.
        first: a row.
        second: another.
        difference: the first's value less the second's, p adjusted for all pairs of the metric.
        said: of the first: "better", "worse" or "not distinguishable".
    """

    metric: str
    first: str
    second: str
    difference: Difference
    said: str


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """All pairs of rows in every metric that was measured in blocks in all of them.

    Block r of every row holds images of the same seeds and labels, so the test is paired. It knows
    nothing of other trainings: that takes several trainings of each method.
    """
    if len(results) < 2:
        return []
    found = []
    for metric, value in results[0].values.items():
        rows = [(r.subject.name, r.values[metric]) for r in results if metric in r.values]
        blocks = {len(one.blocks) for _, one in rows}
        if len(rows) < len(results) or len(blocks) > 1 or blocks == {0}:
            continue
        if value.higher_is_better is None:
            continue
        estimates = {
            name: Estimate(one.value, one.standard_error or 0.0, 0.0, 0.0, tuple(one.blocks))
            for name, one in rows
        }
        pairs = list(combinations(estimates, 2))
        tested = holm([paired_difference(estimates[a], estimates[b]) for a, b in pairs])
        found += [
            Verdict(metric, a, b, difference, difference.verdict(value.higher_is_better))
            for (a, b), difference in zip(pairs, tested, strict=True)
        ]
    return found


def sentences(found: Sequence[Verdict]) -> dict[str, list[str]]:
    """Verdicts in words, by metric: what is better first, then what cannot be told apart."""
    said: dict[str, list[str]] = {}
    for verdict in sorted(found, key=lambda v: v.said == "not distinguishable"):
        first, second = verdict.first, verdict.second
        if verdict.said == "worse":
            first, second = second, first
        gap = abs(verdict.difference.value)
        p = verdict.difference.adjusted
        shown = f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
        if verdict.said == "not distinguishable":
            text = f"{first} and {second} are not distinguishable ({shown})"
        else:
            text = f"{first} is better than {second} by {gap:.3g} ({shown})"
        said.setdefault(verdict.metric, []).append(text)
    return said
