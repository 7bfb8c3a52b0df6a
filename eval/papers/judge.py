"""Whether a result reproduces a row of a paper's table: pure functions of the two."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from eval.papers.table import Row
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
    """One number of a table, and what became of it.

    Attributes:
        row: the table's row.
        metric: in the paper's words.
        ours: what was measured, or None.
        verdict: one of ``VERDICTS``.
        why: what the verdict rests on where the numbers alone do not say.
        unmatched: what differs between the table and the evaluation, or is not known not to.
    """

    row: Row
    metric: str
    ours: Value | None
    verdict: str
    why: str = ""
    unmatched: tuple[str, ...] = ()

    @property
    def paper(self) -> float | None:
        """The paper's number."""
        return self.row.numbers[self.metric]

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        return None if self.ours is None or self.paper is None else self.ours.value - self.paper


def not_run(row: Row, why: str) -> list[Outcome]:
    """Every number of a row that was not evaluated."""
    return [Outcome(row, metric, None, NOT_RUN, why) for metric in row.numbers]


def judge(row: Row, result: Result) -> list[Outcome]:
    """Every number of a row, held against an evaluation of it.

    A number is reproduced where ours is no further from it than the row's tolerance. It is not
    comparable where it is of another count of images, for FID and others fall as counts grow.
    """
    differs = tuple(unmatched(row, result))
    return [_judged(row, metric, result, differs) for metric in row.numbers]


def _judged(row: Row, metric: str, result: Result, differs: tuple[str, ...]) -> Outcome:
    if metric not in row.measured_as:
        return Outcome(row, metric, None, NOT_RUN, f"the table names no value here for {metric}")
    name, paper = row.measured_as[metric], row.numbers[metric]
    ours = value_of(name, row.images, result)
    if ours is None:
        if name in result.absent:
            return Outcome(row, metric, None, NOT_RUN, result.absent[name])
        why = f"the table's {metric} is {name}; measured were {', '.join(result.values)}"
        return Outcome(row, metric, None, NOT_COMPARABLE, why, differs)
    if paper is None:
        return Outcome(row, metric, ours, NOT_COMPARABLE, "the table has no number", differs)
    if row.images is not None and ours.num_images != row.images:
        why = f"counts differ: {ours.num_images:,} images here, {row.images:,} in the table"
        return Outcome(row, metric, ours, NOT_COMPARABLE, why, differs)
    near = abs(ours.value - paper) <= row.within(metric)
    return Outcome(row, metric, ours, REPRODUCED if near else NOT_REPRODUCED, "", differs)


def value_of(name: str, images: int | None, result: Result) -> Value | None:
    """The value of that name; of FID, which has one for each count, at ``images`` if there is one.

    Else that of the largest count.
    """
    if name in result.values:
        return result.values[name]
    counted = [
        value
        for key, value in result.values.items()
        if key.startswith(f"{name}_") and key.removeprefix(f"{name}_").isdecimal()
    ]
    at_count = [value for value in counted if value.num_images == images]
    return max(at_count or counted, key=lambda value: value.num_images, default=None)


def unmatched(row: Row, result: Result) -> list[str]:
    """What the row states and the evaluation has otherwise, what it does not state, what is known.

    Fields of the protocol are compared with the result's; network evaluations are those counted.
    """
    protocol, subject = asdict(result.protocol), asdict(result.subject)
    found = []
    for name, stated in row.stated.items():
        ours = _lookup(protocol if name.partition(".")[0] in protocol else subject, name)
        if ours != stated:
            found.append(f"{name}: {_told(ours)} here, {_told(stated)} in the table")
    if row.resolution is not None and row.resolution != protocol["image_size"][-1]:
        found.append(
            f"resolution: {protocol['image_size'][-1]} here, {row.resolution} in the table"
        )
    counted = subject["network_evaluations"]
    if row.evaluations is not None and row.evaluations != counted:
        found.append(f"network evaluations: {counted:g} here, {row.evaluations} in the table")
    found += _other_weights(row, result)
    said = {name.partition(".")[0] for name in row.stated}
    if silent := [text for name, text in _SHOULD_BE_STATED.items() if name not in said]:
        found.append(f"not stated by the table: {', '.join(silent)}")
    return found + row.not_matched


def _other_weights(row: Row, result: Result) -> list[str]:
    """A published checkpoint is told by the name that `zoo convert` wrote into the file."""
    wanted = row.weights.get("checkpoint", "")
    made = (result.provenance.get("converted") or {}).get("name")
    if not wanted or "/" in wanted or made == wanted:  # those that ship have a folder
        return []
    return [f"weights: {made or 'of no published name'} here, {wanted} in the table"]


def _lookup(record: Any, dotted: str) -> Any:
    for key in dotted.split("."):
        if not isinstance(record, dict) or key not in record:
            return None
        record = record[key]
    return record


def _told(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
