"""Verdicts: which differences between a table's rows are more than chance, and in what sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from eval.result.record import Result, Value
from eval.result.uncertainty import (
    EQUAL,
    Difference,
    Estimate,
    difference_of_trainings,
    holm,
    paired_difference,
)

WEIGHTS, METHOD = "these weights", "the method"

WEIGHTS_NOTE = (
    "About these weights, not about the methods: both rows' images were generated from the same "
    "seeds in blocks, and the blocks' differences were tested (paired t test, p adjusted for all "
    "pairs by Holm). Another training of the same method may turn out differently; "
    "train_seeds=0,1,2 compares methods."
)
METHOD_NOTE = (
    "About the methods: each was trained {count} times, once with each training seed, and the "
    "trainings' own numbers were tested (Welch's t test, p adjusted for all pairs by Holm). A seed "
    "determines a training's initial weights, the order of its data, every draw, and the "
    "autoencoder of a latent model, unless a warning says that it is shared. The images of all "
    "trainings start from the same noise."
)
_FEW = " At least three trainings are advisable: two show only very large differences."


@dataclass(frozen=True)
class Verdict:
    """The outcome of comparing two rows in one metric.

    Attributes:
        metric: the value's name.
        first: a row.
        second: another.
        difference: the first's value less the second's, p adjusted for all pairs of the table.
        outcome: of the first: "better", "worse" or "not distinguishable".
        of: ``WEIGHTS``, tested over blocks of images, or ``METHOD``, tested over trainings.
        trainings: the smaller number of both rows' trainings.
    """

    metric: str
    first: str
    second: str
    difference: Difference
    outcome: str
    of: str = WEIGHTS
    trainings: int = 1


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """All pairs of rows in every metric that all of them have with blocks or trainings.

    Where every row is a method that was trained at least twice, methods are compared over their
    trainings. Else weights are: block r of every row holds images of the same seeds and labels, so
    the test is paired, and it is not about other trainings.
    """
    if len(results) < 2:
        return []
    pending: list[tuple[Verdict, bool]] = []
    for metric, value in results[0].values.items():
        rows = {r.subject.name: r.values[metric] for r in results if metric in r.values}
        if len(rows) < len(results) or value.higher_is_better is None or value.column == "cost":
            continue  # what varies in a cost is the machine, neither weights nor method
        of, trainings = METHOD, min(len(row.trainings) for row in rows.values())
        if trainings < 2:
            of, trainings = WEIGHTS, 1
            if not value.blocks or len({len(row.blocks) for row in rows.values()}) > 1:
                continue
        for a, b in combinations(rows, 2):
            if of == METHOD:
                difference = difference_of_trainings(rows[a].trainings, rows[b].trainings)
            else:
                difference = paired_difference(_estimate(rows[a]), _estimate(rows[b]))
            verdict = Verdict(metric, a, b, difference, "", of, trainings)
            pending.append((verdict, value.higher_is_better))
    adjusted = holm([verdict.difference for verdict, _ in pending])
    return [
        replace(verdict, difference=difference, outcome=difference.verdict(better))
        for (verdict, better), difference in zip(pending, adjusted, strict=True)
    ]


def sentences(verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """Verdicts in words, by metric: distinguishable rows first.

    Each says by itself whether it is about weights or about methods.
    """
    by_metric: dict[str, list[str]] = {}
    for verdict in sorted(verdicts, key=lambda v: v.outcome == EQUAL):
        first, second = verdict.first, verdict.second
        if verdict.outcome == "worse":
            first, second = second, first
        gap = f"{abs(verdict.difference.value):.3g}"
        evidence = p_text(verdict.difference.adjusted)
        if verdict.of == METHOD:
            evidence += f", {verdict.trainings} trainings each"
        text = {
            (WEIGHTS, True): f"the weights of {first} are better than those of {second} by {gap}",
            (WEIGHTS, False): f"the weights of {first} and of {second} are {EQUAL}",
            (METHOD, True): f"as a method, {first} is better than {second} by {gap}",
            (METHOD, False): f"as methods, {first} and {second} are {EQUAL}",
        }[verdict.of, verdict.outcome != EQUAL]
        by_metric.setdefault(verdict.metric, []).append(f"{text} ({evidence})")
    return by_metric


def p_text(p: float) -> str:
    """A p value in words.

    >>> p_text(0.0004), p_text(0.0312)
    ('p < 0.001', 'p = 0.031')
    """
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"


def note(verdicts: Sequence[Verdict]) -> str:
    """How verdicts were reached and what they are about; empty where there are none."""
    notes = []
    for of in dict.fromkeys(verdict.of for verdict in verdicts):
        fewest = min(verdict.trainings for verdict in verdicts if verdict.of == of)
        text = METHOD_NOTE.format(count=fewest) if of == METHOD else WEIGHTS_NOTE
        notes.append(text + (_FEW if of == METHOD and fewest < 3 else ""))
    return " ".join(notes)


def _estimate(value: Value) -> Estimate:
    return Estimate(value.value, value.standard_error or 0.0, 0.0, 0.0, tuple(value.blocks))
