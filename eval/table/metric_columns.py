"""The columns of a comparison: where each cell comes from, and what it means in plain words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from eval.result.record import Result, Value
from eval.table.column import Cell, Column
from eval.table.formatting import NONE, NOT_ESTIMABLE, not_estimable, notes, plain, short, title_of
from eval.table.subject_columns import SUBJECT_COLUMNS

_ARROW = {True: " ↑", False: " ↓", None: ""}


def columns_of(results: list[Result]) -> list[Column]:
    """The model, then how good it is, then what it costs: what a reader looks for first."""
    values: dict[str, list[Value]] = {}
    for result in results:
        for name, value in result.values.items():
            values.setdefault(name, []).append(value)
    quality, cost = [], []
    for name, found in values.items():
        made = _columns(name, found)
        if found[0].column == "cost":
            cost += [replace(column, of_cost=True) for column in made]
        else:
            quality += made
    absent = {name for result in results for name in result.absent} - set(values)
    quality += [_never(name) for name in sorted(absent)]
    return [*SUBJECT_COLUMNS[:1], *quality, *SUBJECT_COLUMNS[1:], *cost]


def _columns(name: str, found: list[Value]) -> list[Column]:
    """A metric's own column, and those of what its numbers are read beside, for programs."""
    value, title = found[0], title_of(name, found[0])
    apart = value.column == "section"
    better = value.higher_is_better
    made = [
        Column(
            name,
            title + _ARROW[better],
            value.definition,
            _value(name),
            on_page=not apart,
            higher_is_better=better,
            in_section=apart,
        ),
    ]
    if any(one.interval is not None for one in found):
        over = "over the trainings" if value.trainings else "for these weights and this reference"
        said = f"of the 95 % interval of {title}, {over}."
        made += [
            Column(f"{name}_low", "95 % from", f"Lower end {said}", _end(name, 0), False),
            Column(f"{name}_high", "95 % to", f"Upper end {said}", _end(name, 1), False),
        ]
    meant = {
        "standard_error": f"How far chance moves {title}: which images happened to be generated, "
        "or held out.",
        "corrected": f"{title} without the bias of its count: an estimate of what an unlimited "
        "number of images would give.",
        "floor": f"{title} of held-out real images against the same reference{_held_out(found)}: "
        "what a perfect model would score, because two sets of real images differ too.",
        "ceiling": f"{title} of real held-out images with their own captions.",
        "chance": f"{title} of the same real images with shuffled captions.",
    }
    for part, definition in meant.items():
        known = any(getattr(one, part) is not None for one in found)
        if known or (part == "corrected" and any(map(not_estimable, found))):
            head = "noise floor" if part == "floor" else plain(part)
            made.append(Column(f"{name}_{part}", head, definition, _part(name, part), False))
    return made


def _held_out(found: list[Value]) -> str:
    counts = sorted({one.floor_images for one in found if one.floor_images})
    return f" ({', '.join(f'{count:,}' for count in counts)} of them)" if counts else ""


def _value(name: str) -> Callable[[Result], Cell]:
    def cell(result: Result) -> Cell:
        found = result.values.get(name)
        if found is None:
            return Cell(None, NONE, result.absent.get(name, ""))
        return Cell(found.value, short(found.value), " · ".join(notes(found)))

    return cell


def _end(name: str, index: int) -> Callable[[Result], Cell]:
    def cell(result: Result) -> Cell:
        found = result.values.get(name)
        if found is None or found.interval is None:
            return Cell(None, NONE)
        return Cell(found.interval[index], short(found.interval[index]))

    return cell


def _part(name: str, part: str) -> Callable[[Result], Cell]:
    def cell(result: Result) -> Cell:
        found = result.values.get(name)
        number = None if found is None else getattr(found, part)
        if number is not None:
            return Cell(number, short(number))
        missing = part == "corrected" and found is not None and not_estimable(found)
        return Cell(None, NONE, NOT_ESTIMABLE if missing else "")

    return cell


def _never(name: str) -> Column:
    """A metric that the protocol asks for and no row can have; the reason is in every cell."""
    definition = "Asked for by the protocol, but no row can have it; the cells say why."
    return Column(name, title_of(name, Value(0.0, "")), definition, _value(name))
