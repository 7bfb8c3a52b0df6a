"""Which differences between a table's rows are more than chance, and of what that may be said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from eval.result.record import Result, Value
from eval.result.uncertainty import (
    Difference,
    Estimate,
    difference_of_trainings,
    holm,
    paired_difference,
)

WEIGHTS, METHOD = "these weights", "the method"

WEIGHTS_NOTE = (
    "Said of these weights, not of the methods: both rows' images were made from the same seeds in "
    "blocks, and the blocks' differences were tested (paired t test, p adjusted for all pairs by "
    "Holm). Another training of the same method may fall out differently; train_seeds=0,1,2 "
    "compares methods."
)
METHOD_NOTE = (
    "Said of the methods: each was trained {count} times, once with each training seed, and the "
    "trainings' own numbers were tested (Welch's t test, p adjusted for all pairs by Holm). A seed "
    "decides a training's initial weights, the order of its data, every draw, and the autoencoder "
    "of a latent model, unless a warning says that one is shared. The images of all trainings "
    "start from the same noise."
)
_FEW = " Three trainings or more are advisable: two show only very large differences."


@dataclass(frozen=True)
class Verdict:
    """What may be said of two rows in one metric.

    Attributes:
        metric: the value's name.
        first: a row.
        second: another.
        difference: the first's value less the second's, p adjusted for all pairs of the metric.
        said: of the first: "better", "worse" or "not distinguishable".
        of: what it is said of: ``WEIGHTS``, tested over blocks of images, or ``METHOD``, tested
            over trainings.
        trainings: how many each row had at least.
    """

    metric: str
    first: str
    second: str
    difference: Difference
    said: str
    of: str = WEIGHTS
    trainings: int = 1


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """All pairs of rows in every metric that was measured alike in all of them.

    Where every row is a method that was trained at least twice, methods are compared over their
    trainings. Else weights are: block r of every row holds images of the same seeds and labels, so
    the test is paired, and it knows nothing of other trainings.
    """
    if len(results) < 2:
        return []
    asked: list[tuple[Verdict, bool]] = []
    for metric, value in results[0].values.items():
        rows = {r.subject.name: r.values[metric] for r in results if metric in r.values}
        if len(rows) < len(results) or value.higher_is_better is None or value.column == "cost":
            continue  # what varies in a cost is the machine, neither weights nor method
        pairs = list(combinations(rows, 2))
        trainings = min(len(one.trainings) for one in rows.values())
        if trainings >= 2:
            of = METHOD
            numbers = {name: one.trainings for name, one in rows.items()}
            tested = [difference_of_trainings(numbers[a], numbers[b]) for a, b in pairs]
        elif value.blocks and {len(one.blocks) for one in rows.values()} == {len(value.blocks)}:
            of, trainings = WEIGHTS, 1
            tested = [paired_difference(_estimate(rows[a]), _estimate(rows[b])) for a, b in pairs]
        else:
            continue
        asked += [
            (Verdict(metric, a, b, one, "", of, trainings), value.higher_is_better)
            for (a, b), one in zip(pairs, tested, strict=True)
        ]
    corrected = holm([verdict.difference for verdict, _ in asked])
    return [
        replace(verdict, difference=one, said=one.verdict(better))
        for (verdict, better), one in zip(asked, corrected, strict=True)
    ]


def sentences(found: Sequence[Verdict]) -> dict[str, list[str]]:
    """Verdicts in words, by metric: what is better first, then what cannot be told apart.

    Each says by itself whether it is about weights or about methods.
    """
    said: dict[str, list[str]] = {}
    for verdict in sorted(found, key=lambda v: v.said == "not distinguishable"):
        first, second = verdict.first, verdict.second
        if verdict.said == "worse":
            first, second = second, first
        gap = f"{abs(verdict.difference.value):.3g}"
        p = verdict.difference.adjusted
        shown = f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
        if verdict.of == METHOD:
            shown += f", {verdict.trainings} trainings each"
        apart = verdict.said != "not distinguishable"
        text = {
            (WEIGHTS, True): f"the weights of {first} are better than those of {second} by {gap}",
            (WEIGHTS, False): f"the weights of {first} and of {second} are not distinguishable",
            (METHOD, True): f"as a method, {first} is better than {second} by {gap}",
            (METHOD, False): f"as methods, {first} and {second} are not distinguishable",
        }[verdict.of, apart]
        said.setdefault(verdict.metric, []).append(f"{text} ({shown})")
    return said


def note(found: Sequence[Verdict]) -> str:
    """How verdicts came about and what they are said of; empty where there are none."""
    said = []
    for of in dict.fromkeys(verdict.of for verdict in found):
        fewest = min(verdict.trainings for verdict in found if verdict.of == of)
        text = METHOD_NOTE.format(count=fewest) if of == METHOD else WEIGHTS_NOTE
        said.append(text + (_FEW if of == METHOD and fewest < 3 else ""))
    return " ".join(said)


def _estimate(value: Value) -> Estimate:
    return Estimate(value.value, value.standard_error or 0.0, 0.0, 0.0, tuple(value.blocks))
