"""Results side by side, where they may be compared: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.result.parse import field_differences, leaves
from eval.result.record import Result
from eval.table.metric_columns import Cell, Column, columns_of
from eval.table.verdict import Verdict, verdicts


@dataclass(frozen=True)
class Difference:
    """A protocol or budget field in which two rows differ, or two trainings of one row.

    Attributes:
        field: its dotted name.
        row: where it is ``value``.
        reference_row: where it is ``reference_value``; of trainings, the first one's name.
        training: the name of the row's training that it is about, if it is about one.
    """

    field: str
    row: str
    value: Any
    reference_row: str
    reference_value: Any
    training: str = ""

    def __str__(self) -> str:
        return (
            f"{self.field} is {_shown(self.value)} for {self.training or self.row} "
            f"but {_shown(self.reference_value)} for {self.reference_row}"
        )


@dataclass(frozen=True)
class Table:
    """Rows that were found comparable, or were forced to be.

    Attributes:
        columns: what the cells are, with their definitions.
        rows: name and cells, in the order the results were given.
        differences: of protocol and budget; empty unless forced.
        warnings: what else differs and may matter: environment, first stage.
        verdicts: which differences between rows are more than chance.
        protocol: the first row's, by dotted field name.
        budget: the first row's, by dotted field name.
    """

    columns: list[Column]
    rows: list[tuple[str, list[Cell]]]
    differences: list[Difference]
    warnings: list[str]
    verdicts: list[Verdict]
    protocol: dict[str, Any]
    budget: dict[str, Any]


def compare(results: list[Result], force: bool = False, within: Sequence[Difference] = ()) -> Table:
    """Puts results into one table.

    Subjects may differ, for they are what is compared. Environments may differ and are warned
    about. Protocol and budget must not.

    Args:
        results: one per row.
        force: makes a table of rows that differ in protocol or budget, with the differences in it.
        within: differences between the trainings of one row, which count like those between rows.

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
    found = [*within, *differences(results)]
    if found and not force:
        raise ValueError(
            "these rows cannot be compared: "
            + "; ".join(map(str, found))
            + ". Evaluate or train them alike, or say force=true to have the differences printed"
        )
    columns = columns_of(results)
    first = results[0]
    return Table(
        columns=columns,
        rows=[(r.subject.name, [column.cell(r) for column in columns]) for r in results],
        differences=found,
        warnings=_warnings(results),
        verdicts=[] if found else verdicts(results),
        protocol=leaves(asdict(first.protocol)),
        budget=leaves(asdict(first.budget)),
    )


def differences(results: list[Result]) -> list[Difference]:
    """The fields of protocol and budget in which a row differs from the first."""
    found = []
    reference = results[0]
    for result in results[1:]:
        for side in ("protocol", "budget"):
            theirs, ours = (asdict(getattr(one, side)) for one in (reference, result))
            for field, their, our in field_differences(theirs, ours, side):
                row, reference_row = result.subject.name, reference.subject.name
                found.append(Difference(field, row, our, reference_row, their))
    return found


def _warnings(results: list[Result]) -> list[str]:
    warnings = []
    for field in leaves(asdict(results[0].environment)):
        if field == "time":
            continue
        by_row = {
            r.subject.name: leaves(asdict(r.environment)).get(field, "not recorded")
            for r in results
        }
        if len(set(map(str, by_row.values()))) > 1:
            told = ", ".join(f"{row}: {value}" for row, value in by_row.items())
            warnings.append(f"the rows were measured in different environments: {field} ({told})")
    warnings += _first_stage_warnings(results)
    unmarked = {r.subject.weights for r in results}
    if len(unmarked) > 1:
        told = ", ".join(f"{r.subject.name}: {r.subject.weights or 'unknown'}" for r in results)
        warnings.append(f"averaged and raw weights are mixed ({told})")
    return warnings


def _first_stage_warnings(results: list[Result]) -> list[str]:
    warnings = []
    used = {r.subject.name: r.subject.first_stage.sha256 for r in results if r.subject.first_stage}
    if len(set(used.values())) > 1:
        told = ", ".join(
            f"{row}: {' '.join(one[:12] for one in sha256.split(', '))}"
            for row, sha256 in used.items()
        )
        warnings.append(f"the latent models use different autoencoders ({told})")
    shared = [
        r.subject.name
        for r in results
        if r.subject.name in used
        and isinstance(r.budget.seed, list)
        and len(used[r.subject.name].split(", ")) < len(r.budget.seed)
    ]
    if shared:
        warnings.append(
            f"the trainings of {', '.join(shared)} share an autoencoder: how its training falls "
            "out is not in their intervals and verdicts"
        )
    return warnings


def _shown(value: Any) -> str:
    return "not recorded" if value is None else repr(value)
