"""Several trainings of one method as one row: the mean over them, and how sure that is. Pure.

Between two trainings everything differs that a training seed decides: initial weights, order of
the data, every draw, and a latent model's autoencoder unless all were given one. What they generate
starts from the same noise: the interval says how trainings fall out, not which images were drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from eval.result.record import Environment, Result, Value
from eval.result.subject import FirstStageRecord, Subject
from eval.result.uncertainty import over_trainings
from eval.table.table import Difference, differences
from zoo.system.text import csv_text


def combined(trainings: Sequence[Result], name: str) -> Result:
    """One row of a method.

    Args:
        trainings: a result of each training, of one protocol and, but for the seed, one budget;
            ``unlike`` says where they are not.
        name: the row's.

    Returns:
        Each value is the mean over the trainings with Student's t interval, and keeps every
        training's own number; a single training is given back as it is, under the row's name.

    Raises:
        ValueError: the trainings are not of one model that generated in one way.
    """
    first = trainings[0]
    if len(trainings) == 1:
        return replace(first, subject=replace(first.subject, name=name))
    for field in ("model", "parameters", "sampler", "grid", "num_steps", "guidance"):
        found = {str(getattr(one.subject, field)) for one in trainings}
        if len(found) > 1:
            raise ValueError(
                f"the trainings of {name} are not of one method: {field} is {', '.join(found)}"
            )
    seeds = [one.budget.seed for one in trainings if isinstance(one.budget.seed, int)]
    values = {
        key: value_over_trainings([one.values[key] for one in trainings], seeds)
        for key in first.values
        if all(key in one.values for one in trainings)
    }
    for key, value in values.items():
        if value.column == "cost":  # what varies in it is the machine
            definition = first.values[key].definition
            values[key] = replace(value, interval=None, standard_error=None, definition=definition)
    return Result(
        values=values,
        protocol=first.protocol,
        budget=replace(first.budget, seed=seeds),
        subject=_subject([one.subject for one in trainings], name),
        environment=_environment([one.environment for one in trainings]),
        provenance=_provenance(trainings),
        absent=first.absent,
    )


def unlike(trainings: Sequence[Result], name: str) -> list[Difference]:
    """Protocol and budget fields, beside the seed, in which a method's trainings differ."""
    return [
        replace(found, row=name, training=found.row)
        for found in differences(list(trainings))
        if found.field != "budget.seed"
    ]


def to_csv(measured: Mapping[str, Sequence[Result]]) -> str:
    """Every training's own numbers: a row per training, unrounded.

    Args:
        measured: a method's name to a result of each of its trainings.
    """
    trainings = [(name, one) for name, found in measured.items() for one in found]
    metrics = list(dict.fromkeys(metric for _, one in trainings for metric in one.values))
    rows: list[list[Any]] = []
    for name, one in trainings:
        numbers = [one.values[m].value if m in one.values else None for m in metrics]
        rows.append([name, one.budget.seed, one.subject.weights_sha256, *numbers])
    return csv_text(["model", "seed", "weights_sha256", *metrics], rows)


def value_over_trainings(values: Sequence[Value], seeds: Sequence[int]) -> Value:
    """The mean of one number over trainings; its interval is over them too.

    ``blocks`` are the means of the trainings' pseudo-values, so that a row may still be compared
    with one that was trained once: weights with weights.
    """
    estimate = over_trainings([value.value for value in values])
    blocks = {len(value.blocks) for value in values}
    corrected = [value.corrected for value in values if value.corrected is not None]
    first = values[0]
    # what none of the trainings' own intervals could leave, theirs cannot
    lowest = 0.0 if all(v.interval and v.interval[0] >= 0 for v in values) else -math.inf
    highest = 1.0 if all(v.interval and v.interval[1] == 1 for v in values) else math.inf
    return replace(
        first,
        value=estimate.value,
        definition=f"{first.definition} Each number is the mean over {len(values)} trainings of "
        f"the method (seeds {', '.join(map(str, seeds))}); its interval is Student's t over them.",
        detail={key: _mean([value.detail[key] for value in values]) for key in first.detail},
        standard_error=estimate.standard_error,
        interval=[max(lowest, estimate.low), min(highest, estimate.high)],
        corrected=_mean(corrected) if len(corrected) == len(values) else None,
        blocks=[_mean(block) for block in zip(*(value.blocks for value in values), strict=True)]
        if len(blocks) == 1
        else [],
        trainings=list(estimate.pseudo),
    )


def _subject(subjects: Sequence[Subject], name: str) -> Subject:
    """The first training's, with the files of all and the mean cost of one."""
    first = subjects[0]
    stages = [one.first_stage for one in subjects if one.first_stage is not None]
    return replace(
        first,
        name=name,
        network_evaluations=_mean([one.network_evaluations for one in subjects]),
        weights_sha256=_joined([one.weights_sha256 for one in subjects]),
        config_hash=_joined([one.config_hash for one in subjects]),
        training_seconds=_known_mean([one.training_seconds for one in subjects]),
        first_stage=FirstStageRecord(
            _joined([stage.sha256 for stage in stages]) or "",
            stages[0].parameters,
            stages[0].images_seen,
            _known_mean([stage.training_seconds for stage in stages]),
        )
        if stages
        else None,
    )


def _environment(found: Sequence[Environment]) -> Environment:
    """Where the trainings were measured; several places are told one after the other."""
    names = dict.fromkeys(name for one in found for name in one.versions)
    return Environment(
        machine=_joined([one.machine for one in found]) or "",
        device=_joined([one.device for one in found]) or "",
        threads=max(one.threads for one in found),
        versions={
            n: _joined([one.versions.get(n, "absent") for one in found]) or "" for n in names
        },
        time=max(one.time for one in found),
    )


def _provenance(trainings: Sequence[Result]) -> dict[str, Any]:
    """What all checkpoints say alike, the mean loss, and what each training has of its own."""
    first = trainings[0].provenance
    found = {
        key: value
        for key, value in first.items()
        if all(one.provenance.get(key) == value for one in trainings)
    }
    histories = [one.provenance.get("history") or [] for one in trainings]
    found["history"] = histories[0]
    if len({tuple(step for step, _ in history) for history in histories}) == 1:
        found["history"] = [
            [points[0][0], _mean([loss for _, loss in points])]
            for points in zip(*histories, strict=True)
        ]
    found["trainings"] = [
        {
            "name": one.subject.name,
            "seed": one.budget.seed,
            "weights_sha256": one.subject.weights_sha256,
            "training_seconds": one.subject.training_seconds,
            "first_stage": None if stage is None else asdict(stage),
        }
        for one in trainings
        for stage in (one.subject.first_stage,)
    ]
    return found


def _joined(words: Sequence[str | None]) -> str | None:
    """The distinct ones in their order, or None where there is none."""
    return ", ".join(dict.fromkeys(word for word in words if word is not None)) or None


def _known_mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return _mean(known) if known and len(known) == len(numbers) else None


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)
