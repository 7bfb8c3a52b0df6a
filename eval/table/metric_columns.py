"""The columns of a comparison, each with its definition in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from eval.result.record import Result, Value
from eval.table.column import Cell, Column
from eval.table.formatting import (
    NONE,
    NOT_ESTIMABLE,
    baselines,
    count_notes,
    machine,
    measured,
    not_estimable,
    own_notes,
    plain,
    short,
    title_of,
)
from eval.table.subject_columns import SUBJECT_COLUMNS

_ARROW = {True: " ↑", False: " ↓", None: ""}


def columns_of(results: list[Result]) -> list[Column]:
    """The model, then its quality, then its cost: in the order of a reader's interest."""
    values: dict[str, list[Value]] = {}
    for result in results:
        for name, value in result.values.items():
            values.setdefault(name, []).append(value)
    quality, cost = [], []
    for name, of_metric in values.items():
        columns = _columns(name, of_metric)
        if of_metric[0].column == "cost":
            cost += [replace(column, of_cost=True) for column in columns]
        else:
            quality += columns
    absent = {name for result in results for name in result.absent} - set(values)
    quality += [_empty_column(name) for name in sorted(absent)]
    if cost:
        cost = _of_machine(cost, results)
    subject = [_with_shared_notes(column, results) for column in SUBJECT_COLUMNS]
    return [*subject[:1], *quality, *subject[1:], *cost]


def _columns(name: str, values: list[Value]) -> list[Column]:
    """A metric's own column, and for programs those of intervals, floors and so on."""
    value, title = values[0], title_of(name, values[0])
    in_section = value.column == "section"
    better = value.higher_is_better
    shared = _shared(values)
    columns = [
        Column(
            name,
            title + _ARROW[better],
            value.definition,
            _value(name, shared),
            on_page=not in_section,
            higher_is_better=better,
            in_section=in_section,
            note=" · ".join(shared),
        ),
    ]
    if any(value.interval is not None for value in values):
        over = "over the trainings" if value.trainings else "for these weights and this reference"
        what = f"of the 95 % interval of {title}, {over}."
        columns += [
            Column(f"{name}_low", "95 % from", f"Lower end {what}", _end(name, 0), False),
            Column(f"{name}_high", "95 % to", f"Upper end {what}", _end(name, 1), False),
        ]
    definitions = {
        "standard_error": f"How far chance moves {title}: which images happened to be generated, "
        "or held out.",
        "corrected": f"{title} without the bias of its count: an estimate for an unlimited number "
        "of images.",
        "floor": f"{title} of held-out real images against the same reference{_held_out(values)}: "
        "what a perfect model would score, because two sets of real images differ too.",
        "ceiling": f"{title} of real held-out images with their own captions.",
        "chance": f"{title} of the same real images with shuffled captions.",
    }
    if any(value.floor is not None for value in values):
        definitions |= {
            "num_images": f"How many images {title} is of.",
            "floor_images": "How many held-out images its noise floor is of: only at equal counts "
            "do the two compare.",
        }
    for part, definition in definitions.items():
        present = any(getattr(value, part) is not None for value in values)
        if present or (part == "corrected" and any(map(not_estimable, values))):
            head = "noise floor" if part == "floor" else plain(part)
            columns.append(Column(f"{name}_{part}", head, definition, _part(name, part), False))
    return columns


def _held_out(values: list[Value]) -> str:
    counts = sorted({value.floor_images for value in values if value.floor_images})
    return f" ({', '.join(f'{count:,}' for count in counts)} of them)" if counts else ""


def _context(value: Value) -> list[str]:
    return [*count_notes(value), *baselines(value)]


def _shared(values: list[Value]) -> list[str]:
    """The notes that all values have: they stand once, in the head."""
    return [note for note in _context(values[0]) if all(note in _context(v) for v in values[1:])]


def _with_shared_notes(column: Column, results: list[Result]) -> Column:
    """The column with the notes of all its cells in its head."""
    cells = [column.cell(result) for result in results]
    lists = [cell.note.split(" · ") for cell in cells if cell.value is not None and cell.note]
    if len(lists) < len([cell for cell in cells if cell.value is not None]) or not lists:
        return column
    shared = [note for note in lists[0] if all(note in notes for notes in lists[1:])]

    def cell(result: Result) -> Cell:
        whole = column.cell(result)
        own = [note for note in whole.note.split(" · ") if note not in shared]
        return replace(whole, note=" · ".join(own))

    return replace(column, cell=cell, note=" · ".join(shared))


def _of_machine(columns: list[Column], results: list[Result]) -> list[Column]:
    """Columns of speed, with the machine: once in the head, or in the cells where it differs."""
    machines = {result.subject.name: machine(result.environment.machine) for result in results}
    distinct = set(machines.values())
    if len(distinct) == 1:
        columns = [replace(column, note=f"on {machines.popitem()[1]}") for column in columns]
    else:
        columns = [replace(column, cell=_with_machine(column.cell)) for column in columns]
    definition = "Where the speed was measured."
    return [*columns, Column("machine", "machine", definition, _machine, False, of_cost=True)]


def _with_machine(cell: Callable[[Result], Cell]) -> Callable[[Result], Cell]:
    def with_machine(result: Result) -> Cell:
        return replace(cell(result), note=f"on {machine(result.environment.machine)}")

    return with_machine


def _machine(result: Result) -> Cell:
    return Cell(result.environment.machine, machine(result.environment.machine))


def _value(name: str, shared: Sequence[str] = ()) -> Callable[[Result], Cell]:
    def cell(result: Result) -> Cell:
        value = result.values.get(name)
        if value is None:
            return Cell(None, NONE, result.absent.get(name, ""))
        own = [*own_notes(value), *(note for note in _context(value) if note not in shared)]
        return Cell(value.value, measured(value), " · ".join(own))

    return cell


def _end(name: str, index: int) -> Callable[[Result], Cell]:
    def cell(result: Result) -> Cell:
        value = result.values.get(name)
        if value is None or value.interval is None:
            return Cell(None, NONE)
        return Cell(value.interval[index], short(value.interval[index]))

    return cell


def _part(name: str, part: str) -> Callable[[Result], Cell]:
    def cell(result: Result) -> Cell:
        value = result.values.get(name)
        number = None if value is None else getattr(value, part)
        if number is not None:
            return Cell(number, short(number))
        missing = part == "corrected" and value is not None and not_estimable(value)
        return Cell(None, NONE, NOT_ESTIMABLE if missing else "")

    return cell


def _empty_column(name: str) -> Column:
    """A metric of the protocol that no row has; the reason is in every cell."""
    definition = "A metric of the protocol that no row has; the cells say why."
    return Column(name, title_of(name, Value(0.0, "")), definition, _value(name))
