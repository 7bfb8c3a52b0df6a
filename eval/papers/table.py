"""A paper's table as data, read strictly: ``eval/papers/NAME.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from eval.papers import files
from eval.result.parse import build
from eval.result.record import Protocol, Subject


@dataclass(frozen=True)
class Row:
    """One row: what was measured, what came out, and how it is measured here.

    Attributes:
        name: of the row; ``rows=[name]`` chooses it.
        numbers: metric to the paper's number, in the paper's words; None where it has none.
        dataset: what the model was trained on and compared with.
        resolution: side of the images in pixels.
        reference: what they were compared with, in the source's words.
        images: how many were generated.
        model: in the source's words.
        parameters_M: in millions.
        training: what is known of it.
        sampler: in the source's words.
        evaluations: of the network per image.
        guidance: its scale, in the paper's convention.
        from_memory: nobody looked the number up: it is no evidence.
        source: where the number was read.
        note: anything else.
        weights: keys of ``zoo evaluate`` to checkpoints: published ones, or such as ship. Empty
            where the row cannot be run.
        evaluate: overrides of ``zoo evaluate`` that make the row.
        measured_as: metric to the result's value, without its count: "fid_inception".
        tolerance: metric to how far from the paper's number is still reproduced: a number, or a
            share of the paper's number such as "5%".
        stated: fields of a result's protocol that the table states.
        not_matched: what is known to differ between the table and an evaluation here.
    """

    name: str
    numbers: dict[str, float | None]
    dataset: str | None = None
    resolution: int | None = None
    reference: str | None = None
    images: int | None = None
    model: str | None = None
    parameters_M: float | None = None
    training: dict[str, Any] = field(default_factory=dict)
    sampler: str | None = None
    evaluations: int | None = None
    guidance: float | None = None
    from_memory: bool = False
    source: str | None = None
    note: str | None = None
    weights: dict[str, str] = field(default_factory=dict)
    evaluate: list[str] = field(default_factory=list)
    measured_as: dict[str, str] = field(default_factory=dict)
    tolerance: dict[str, Any] = field(default_factory=dict)
    stated: dict[str, Any] = field(default_factory=dict)
    not_matched: list[str] = field(default_factory=list)

    def within(self, metric: str) -> float:
        """How far from the paper's number is still reproduced."""
        given, number = self.tolerance[metric], self.numbers[metric]
        if isinstance(given, str):
            return float(given.removesuffix("%")) / 100 * abs(number or 0.0)
        return float(given)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: its file's.
        paper: whose it is, in short.
        table: which one.
        rows: all of them.
        arxiv: the paper's number there.
        title: of the paper.
    """

    name: str
    paper: str
    table: str
    rows: list[Row]
    arxiv: str | None = None
    title: str | None = None

    def choose(self, wanted: Sequence[str]) -> list[Row]:
        """The rows of these names or patterns, in the table's order; all where none is given.

        Raises:
            ValueError: a pattern fits no row.
        """
        names = [row.name for row in self.rows]
        for pattern in wanted:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(f"{self.name} has no row '{pattern}'{_near(pattern, names)}")
        chosen = list(wanted) or ["*"]
        return [row for row in self.rows if any(fnmatchcase(row.name, one) for one in chosen)]


def table(name: str | None, folder: Path | None = None) -> Table:
    """The table of that name, of a folder of one's own or of those that ship.

    Raises:
        ValueError: there is none, or its file is not as it should be: field and row are named.
    """
    known = files.files(folder)
    if name is None:
        raise ValueError("give table=NAME: `zoo list papers` shows the tables")
    if name not in known:
        raise ValueError(
            f"there is no table '{name}'{_near(name, list(known))}: `zoo list papers` shows them"
        )
    return read(known[name])


def read(file: Path) -> Table:
    """The table in a file.

    Raises:
        ValueError: a field is missing, unknown or of another type, or a row is not complete.
    """
    held = files.read(file)
    if not isinstance(held, dict) or not isinstance(held.get("rows"), list):
        raise ValueError(f"{file}: a table is a mapping with 'paper', 'table' and 'rows'")
    own = {f.name for f in fields(Table)} - {"name", "rows"}
    head = {key: value for key, value in held.items() if key in own}
    facts = {key: value for key, value in held.items() if key not in own}
    rows = [_row(leaf, file.name) for leaf in files.leaves(facts)]
    names = [row.name for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{file.name}: two rows are called '{twice[0]}'")
    made = build(Table, {"name": file.stem, "rows": [], **head}, file.name)
    return Table(**{**vars(made), "rows": rows})


def _row(leaf: dict[str, Any], where: str) -> Row:
    row: Row = build(Row, leaf, f"{where}: {leaf.get('name', 'a row')}")
    where = f"{where}: {row.name}"
    if row.weights and "checkpoint" not in row.weights:
        raise ValueError(f"{where}: weights names no 'checkpoint'")
    known = [f.name for kind in (Protocol, Subject) for f in fields(kind)]
    for name in row.stated:
        if name.partition(".")[0] not in known:
            raise ValueError(f"{where}: stated: a result has no field '{name}'{_near(name, known)}")
    for metric in row.measured_as.keys() & row.numbers.keys() if row.weights else ():
        try:
            row.within(metric)
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{where}: tolerance of {metric} is a number or like '5%'") from None
    return row


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
