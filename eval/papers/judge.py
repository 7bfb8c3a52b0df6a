"""Verdicts on whether a result reproduces a row of a paper's table: pure functions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from eval.papers.table import PaperRow
from eval.result.record import Result, Value

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
NOT_RUN, NOT_COMPARABLE = "not run", "not comparable"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE, NOT_RUN)

_SHOULD_BE_STATED = {  # fields of a protocol that move numbers, in words
    "data_fingerprint": "the data's content",
    "num_reference": "how many images the reference has",
    "extractors": "the extractor's weights",
    "resize": "the resize before the extractor",
    "labels": "the labels",
    "dtype": "the network's precision",
    "seed": "the seed",
}


class Outcome(NamedTuple):
    """One number of a table, and its reproduction.

    Attributes:
        row: the table's row.
        metric: in the paper's words.
        value: of the evaluation, or None.
        verdict: one of ``VERDICTS``.
        why: the reason for the verdict where the numbers alone do not show it.
        unmatched: differences, known or possible, between the table and the evaluation.
    """

    row: PaperRow
    metric: str
    value: Value | None
    verdict: str
    why: str = ""
    unmatched: tuple[str, ...] = ()

    @property
    def paper(self) -> float | None:
        """The paper's number."""
        return self.row.numbers[self.metric]

    @property
    def difference(self) -> float | None:
        """The value less the paper's number."""
        return None if self.value is None or self.paper is None else self.value.value - self.paper


def not_run(row: PaperRow, why: str) -> list[Outcome]:
    """Every number of a row that was not evaluated."""
    return [Outcome(row, metric, None, NOT_RUN, why) for metric in row.numbers]


def judge(row: PaperRow, result: Result) -> list[Outcome]:
    """Every number of a row, compared with an evaluation of it.

    A number is reproduced where the value differs by no more than the row's tolerance. It is not
    comparable where it is of another count of images, because FID and others fall as counts grow.
    """
    differs = tuple(unmatched(row, result))
    return [_judged(row, metric, result, differs) for metric in row.numbers]


def _judged(row: PaperRow, metric: str, result: Result, differs: tuple[str, ...]) -> Outcome:
    if metric not in row.measured_as:
        return Outcome(row, metric, None, NOT_RUN, f"the table names no value here for {metric}")
    name, paper = row.measured_as[metric], row.numbers[metric]
    value = value_at(name, row.images, result)
    if value is None:
        if name in result.absent:
            return Outcome(row, metric, None, NOT_RUN, result.absent[name])
        why = f"the table's {metric} is {name}; measured were {', '.join(result.values)}"
        return Outcome(row, metric, None, NOT_COMPARABLE, why, differs)
    if paper is None:
        return Outcome(row, metric, value, NOT_COMPARABLE, "the table has no number", differs)
    if row.images is not None and value.num_images != row.images:
        why = f"counts differ: {value.num_images:,} images here, {row.images:,} in the table"
        return Outcome(row, metric, value, NOT_COMPARABLE, why, differs)
    is_near = abs(value.value - paper) <= row.within(metric)
    return Outcome(row, metric, value, REPRODUCED if is_near else NOT_REPRODUCED, "", differs)


def value_at(name: str, images: int | None, result: Result) -> Value | None:
    """The value of that name; of several counts that at ``images``, else at the largest."""
    if name in result.values:
        return result.values[name]
    counted = [
        value
        for key, value in result.values.items()
        if key.startswith(f"{name}_") and key.removeprefix(f"{name}_").isdecimal()
    ]
    at_count = [value for value in counted if value.num_images == images]
    return max(at_count or counted, key=lambda value: value.num_images, default=None)


def unmatched(row: PaperRow, result: Result) -> list[str]:
    """The facts that differ between row and evaluation, or that the row does not state.

    Fields of the protocol are compared with the result's, and network evaluations with its count.
    """
    protocol, subject = asdict(result.protocol), asdict(result.subject)
    texts = []
    for name, stated in row.stated.items():
        value = _lookup(protocol if name.partition(".")[0] in protocol else subject, name)
        if value != stated:
            texts.append(f"{name}: {_text_of(value)} here, {_text_of(stated)} in the table")
    side = protocol["image_size"][-1]
    if row.resolution is not None and row.resolution != side:
        texts.append(f"resolution: {side} here, {row.resolution} in the table")
    count = subject["network_evaluations"]
    if row.evaluations is not None and row.evaluations != count:
        texts.append(f"network evaluations: {count:g} here, {row.evaluations} in the table")
    texts += _other_weights(row, result)
    fields = {name.partition(".")[0] for name in row.stated}
    if omitted := [text for name, text in _SHOULD_BE_STATED.items() if name not in fields]:
        texts.append(f"not stated by the table: {', '.join(omitted)}")
    return texts + row.not_matched


def _other_weights(row: PaperRow, result: Result) -> list[str]:
    """A published checkpoint is recognised by the name that `zoo convert` wrote into the file."""
    expected = row.weights.get("checkpoint", "")
    name = (result.provenance.get("converted") or {}).get("name")
    if not expected or "/" in expected or name == expected:  # those that ship have a folder
        return []
    return [f"weights: {name or 'of no published name'} here, {expected} in the table"]


def _lookup(record: Any, dotted: str) -> Any:
    for key in dotted.split("."):
        if not isinstance(record, dict) or key not in record:
            return None
        record = record[key]
    return record


def _text_of(value: object) -> str:
    if value is None:
        return "nothing"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
