"""Several trainings of one method as one row: the mean over them with its interval. Pure.

Two trainings differ in everything that depends on the training seed: initial weights, order of the
data, every draw, and a latent model's autoencoder unless they share one. Their images start from
the same noise: the interval covers the chance of training, not that of the images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from eval.result import Environment, Result, Subject, Value
from eval.result.subject import FirstStageRecord
from eval.result.uncertainty import over_trainings
from eval.table.table import Mismatch, mismatches
from zoo.system.text import csv_text


def combined(trainings: Sequence[Result], name: str) -> Result:
    """One row of a method.

    Args:
        trainings: a result of each training, all of one protocol and, except for the seed, one
            budget; ``training_mismatches`` lists exceptions.
        name: the row's.

    Returns:
        Each value is the mean over the trainings with Student's t interval, and keeps every
        training's own number; a single training is returned unchanged, under the row's name.

    Raises:
        ValueError: the trainings differ in the model or in how it generates.
    """
    first = trainings[0]
    if len(trainings) == 1:
        return replace(first, subject=replace(first.subject, name=name))
    for field in ("model", "parameters", "sampler", "grid", "num_steps", "guidance"):
        variants = {str(getattr(t.subject, field)) for t in trainings}
        if len(variants) > 1:
            raise ValueError(
                f"the trainings of {name} are not of one method: {field} is {', '.join(variants)}"
            )
    seeds = [t.budget.seed for t in trainings if isinstance(t.budget.seed, int)]
    values = {
        key: value_over_trainings([t.values[key] for t in trainings], seeds)
        for key in first.values
        if all(key in t.values for t in trainings)
    }
    for key, value in values.items():
        if value.column == "cost":  # what varies in it is the machine
            definition = first.values[key].definition
            values[key] = replace(value, interval=None, standard_error=None, definition=definition)
    return Result(
        values=values,
        protocol=first.protocol,
        budget=replace(first.budget, seed=seeds),
        subject=_subject([t.subject for t in trainings], name),
        environment=_environment([t.environment for t in trainings]),
        provenance=_provenance(trainings),
        absent=first.absent,
    )


def training_mismatches(trainings: Sequence[Result], name: str) -> list[Mismatch]:
    """Protocol and budget fields, beside the seed, in which a method's trainings differ."""
    return within_row(mismatches(list(trainings)), name)


def within_row(mismatches: Sequence[Mismatch], name: str) -> list[Mismatch]:
    """Mismatches between trainings as those of their row, whose seeds may differ."""
    return [
        replace(mismatch, row=name, training=mismatch.row)
        for mismatch in mismatches
        if mismatch.field != "budget.seed"
    ]


def to_csv(results: Mapping[str, Sequence[Result]]) -> str:
    """Every training's own numbers, unrounded: a row per training, of each method's results."""
    trainings = [(name, training) for name, of_model in results.items() for training in of_model]
    metrics = list(dict.fromkeys(metric for _, training in trainings for metric in training.values))
    rows: list[list[Any]] = []
    for name, training in trainings:
        numbers = [training.values[m].value if m in training.values else None for m in metrics]
        rows.append([name, training.budget.seed, training.subject.weights_sha256, *numbers])
    return csv_text(["model", "seed", "weights_sha256", *metrics], rows)


def value_over_trainings(values: Sequence[Value], seeds: Sequence[int]) -> Value:
    """The mean of one number over trainings, and its interval over them.

    ``blocks`` are the means of the trainings' pseudo-values, so that a row can still be compared
    with one of a single training: weights with weights.
    """
    estimate = over_trainings([value.value for value in values])
    blocks = {len(value.blocks) for value in values}
    corrected = [value.corrected for value in values if value.corrected is not None]
    first = values[0]
    # the bounds of the trainings' own intervals hold for theirs too
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
    stages = [s.first_stage for s in subjects if s.first_stage is not None]
    return replace(
        first,
        name=name,
        network_evaluations=_mean([s.network_evaluations for s in subjects]),
        weights_sha256=_joined([s.weights_sha256 for s in subjects]),
        config_hash=_joined([s.config_hash for s in subjects]),
        training_seconds=_known_mean([s.training_seconds for s in subjects]),
        first_stage=FirstStageRecord(
            _joined([stage.sha256 for stage in stages]) or "",
            stages[0].parameters,
            stages[0].images_seen,
            _known_mean([stage.training_seconds for stage in stages]),
        )
        if stages
        else None,
    )


def _environment(environments: Sequence[Environment]) -> Environment:
    """Where the trainings were measured; different machines are listed."""
    names = dict.fromkeys(name for e in environments for name in e.versions)
    return Environment(
        machine=_joined([e.machine for e in environments]) or "",
        device=_joined([e.device for e in environments]) or "",
        threads=max(e.threads for e in environments),
        versions={
            n: _joined([e.versions.get(n, "absent") for e in environments]) or "" for n in names
        },
        time=max(e.time for e in environments),
        peak_memory_bytes=max(e.peak_memory_bytes or 0 for e in environments) or None,
    )


def _provenance(trainings: Sequence[Result]) -> dict[str, Any]:
    """The provenance that all checkpoints share, the mean loss, and each training's own facts."""
    first = trainings[0].provenance
    provenance = {
        key: value
        for key, value in first.items()
        if all(training.provenance.get(key) == value for training in trainings)
    }
    histories = [training.provenance.get("history") or [] for training in trainings]
    provenance["history"] = histories[0]
    if len({tuple(step for step, _ in history) for history in histories}) == 1:
        provenance["history"] = [
            [points[0][0], _mean([loss for _, loss in points])]
            for points in zip(*histories, strict=True)
        ]
    provenance["trainings"] = [
        {
            "name": training.subject.name,
            "seed": training.budget.seed,
            "weights_sha256": training.subject.weights_sha256,
            "training_seconds": training.subject.training_seconds,
            "first_stage": None if stage is None else asdict(stage),
        }
        for training in trainings
        for stage in (training.subject.first_stage,)
    ]
    return provenance


def _joined(words: Sequence[str | None]) -> str | None:
    """The distinct words in their order, or None where there is none."""
    return ", ".join(dict.fromkeys(word for word in words if word is not None)) or None


def _known_mean(numbers: Sequence[float | None]) -> float | None:
    present = [number for number in numbers if number is not None]
    return _mean(present) if present and len(present) == len(numbers) else None


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)
