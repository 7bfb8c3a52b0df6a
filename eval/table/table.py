"""Results side by side, where they are comparable: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.result.record import Budget, Environment, Protocol, Result
from eval.table.formatting import below_floor
from eval.table.metric_columns import Cell, Column, columns_of
from eval.table.verdict import Verdict, verdicts
from zoo.system.nested import field_differences, leaves


@dataclass(frozen=True)
class Mismatch:
    """A protocol or budget field in which two rows differ, or two trainings of one row.

    Attributes:
        field: its dotted name.
        row: the row with ``value``.
        value: of the field there.
        reference_row: the row with ``reference_value``; of trainings, the first one's name.
        reference_value: of the field there.
        training: the name of the row's training with ``value``, of a mismatch between trainings.
    """

    field: str
    row: str
    value: object
    reference_row: str
    reference_value: object
    training: str = ""

    def __str__(self) -> str:
        return (
            f"{self.field} is {_repr(self.value)} for {self.training or self.row} "
            f"but {_repr(self.reference_value)} for {self.reference_row}"
        )


@dataclass(frozen=True)
class Table:
    """Rows that are comparable, or were forced into one table.

    Attributes:
        columns: of the cells, with their definitions.
        rows: name and cells, in the order of the results.
        mismatches: of protocol and budget; empty unless forced.
        warnings: other differences that may matter: environment, first stage.
        verdicts: which differences between rows are more than chance.
        protocol: the first row's, by dotted field name.
        budget: the first row's, by dotted field name.
        below_floor: whether a distance lies below its noise floor at the same count.
        environment: where and when the last row was measured.
        trainings: how many trainings a row is the mean over, at most; 0 for single ones.
        one_budget: whether all rows' trainings are known to have had the same.
    """

    columns: list[Column]
    rows: list[tuple[str, list[Cell]]]
    mismatches: list[Mismatch]
    warnings: list[str]
    verdicts: list[Verdict]
    protocol: dict[str, Any]
    budget: dict[str, Any]
    below_floor: bool = False
    environment: Environment | None = None
    trainings: int = 0
    one_budget: bool = True


def compare(results: list[Result], force: bool = False, within: Sequence[Mismatch] = ()) -> Table:
    """Puts results into one table.

    Subjects are compared, so they may differ. Different environments are warned about. Protocol and
    budget must be equal.

    Args:
        results: one per row.
        force: makes a table even of rows that differ in protocol or budget, and lists mismatches.
        within: mismatches between the trainings of one row, which count like those between rows.

    Raises:
        ValueError: no results, two of one name, or rows that differ in protocol or budget: every
            such field is named with both values.
    """
    if not results:
        raise ValueError("nothing to compare: no results were given")
    names = [result.subject.name for result in results]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two results are called {', '.join(twice)}: give each its own name")
    all_mismatches = [*within, *mismatches(results)]
    if not force:
        refuse(all_mismatches)
    columns = columns_of(results)
    first, recorded = results[0], _recorded(results)
    return Table(
        columns=columns,
        rows=[(r.subject.name, [column.cell(r) for column in columns]) for r in results],
        mismatches=all_mismatches,
        warnings=_warnings(results),
        verdicts=[] if all_mismatches else verdicts(results),
        protocol=leaves(asdict(first.protocol)),
        budget=_shown(leaves(asdict((recorded or results)[0].budget))),
        one_budget=len(recorded) == len(results)
        and not any(mismatch.field.startswith("budget.") for mismatch in all_mismatches),
        below_floor=below_floor([value for r in results for value in r.values.values()]),
        trainings=max((len(v.trainings) for r in results for v in r.values.values()), default=0),
        environment=max((r.environment for r in results), key=lambda e: e.time),
    )


def refuse(mismatches: Sequence[Mismatch]) -> None:
    """Refuses rows that differ in protocol or budget.

    Raises:
        ValueError: there is a mismatch; every one is named with both values.
    """
    if mismatches:
        raise ValueError(
            f"these rows cannot be compared: {'; '.join(map(str, mismatches))}. Evaluate and train "
            "them in the same way, or say force=true to print the differences in the table"
        )


def mismatches(results: list[Result]) -> list[Mismatch]:
    """The fields of protocol and budget in which a row differs from the first.

    A row with nothing recorded of its training, such as published weights, has no budget to
    differ in: the table warns of it.
    """
    return [
        mismatch
        for side, rows in (("protocol", results), ("budget", _recorded(results)))
        for mismatch in record_mismatches(
            side, [(row.subject.name, getattr(row, side)) for row in rows]
        )
    ]


def record_mismatches(
    side: str, records: Sequence[tuple[str, Protocol | Budget | dict[str, Any]]]
) -> list[Mismatch]:
    """The fields in which a row's record differs from the first's; each has its row's name."""
    plain = [(name, _plain(record)) for name, record in records]
    return [
        Mismatch(field, name, value, plain[0][0], reference_value)
        for name, record in plain[1:]
        for field, reference_value, value in field_differences(plain[0][1], record, side)
    ]


def _shown(budget: dict[str, Any]) -> dict[str, Any]:
    """A budget without changes on the way, where there were none."""
    return {key: value for key, value in budget.items() if key != "changes" or value is not None}


def _plain(record: Protocol | Budget | dict[str, Any]) -> dict[str, Any]:
    return record if isinstance(record, dict) else asdict(record)


def _recorded(results: Sequence[Result]) -> list[Result]:
    """The rows of whose training anything is recorded."""
    return [result for result in results if result.budget != Budget()]


def _warnings(results: list[Result]) -> list[str]:
    warnings = []
    for field in leaves(asdict(results[0].environment)):
        if field in ("time", "peak_memory_bytes"):
            continue
        by_row = {
            r.subject.name: leaves(asdict(r.environment)).get(field, "not recorded")
            for r in results
        }
        if len(set(map(str, by_row.values()))) > 1:
            texts = ", ".join(f"{row}: {value}" for row, value in by_row.items())
            warnings.append(f"the rows were measured in different environments: {field} ({texts})")
    warnings += _first_stage_warnings(results)
    recorded = {result.subject.name for result in _recorded(results)}
    unknown = [r.subject.name for r in results if r.subject.name not in recorded]
    if recorded and unknown:
        warnings.append(
            f"nothing is recorded of the training of {', '.join(unknown)}: whether its budget was "
            "that of the other rows is not known"
        )
    if len({r.subject.weights for r in results}) > 1:
        texts = ", ".join(f"{r.subject.name}: {r.subject.weights or 'unknown'}" for r in results)
        all_averaged = all((r.subject.weights or "").startswith("EMA") for r in results)
        what = "averages of several lengths" if all_averaged else "averaged and raw weights"
        warnings.append(f"{what} are mixed ({texts})")
    return warnings


def _first_stage_warnings(results: list[Result]) -> list[str]:
    warnings = []
    used = {
        r.subject.name: r.subject.first_stage.sha256.split(", ")
        for r in results
        if r.subject.first_stage
    }
    if len(set(map(tuple, used.values()))) > 1:
        texts = ", ".join(
            f"{row}: {' '.join(sha256[:12] for sha256 in hashes)}" for row, hashes in used.items()
        )
        warnings.append(f"the latent models use different autoencoders ({texts})")
    shared = [
        r.subject.name
        for r in results
        if r.subject.name in used
        and isinstance(r.budget.seed, list)
        and len(used[r.subject.name]) < len(r.budget.seed)
    ]
    if shared:
        warnings.append(
            f"the trainings of {', '.join(shared)} share an autoencoder: the chance of its own "
            "training is not in their intervals and verdicts"
        )
    return warnings


def _repr(value: object) -> str:
    return "not recorded" if value is None else repr(value)
