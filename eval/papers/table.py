"""A paper's table as data, read strictly: ``eval/papers/NAME.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from eval.papers import files
from eval.result import Protocol, Subject
from eval.result.parse import build


@dataclass(frozen=True)
class PaperRow:
    """One row: its setting, the paper's numbers, and how it is evaluated here.

    Attributes:
        name: of the row; ``rows=[name]`` chooses it.
        numbers: metric, in the paper's words, to the paper's number; None where it has none.
        dataset: of training and comparison.
        resolution: side of the images in pixels.
        reference: that the images were compared with, in the source's words.
        images: how many were generated.
        model: in the source's words.
        parameters_M: in millions.
        training: known facts about it.
        sampler: in the source's words.
        evaluations: of the network per image.
        guidance: its scale, in the paper's convention.
        from_memory: whether the number was never looked up, so that it is not evidence.
        source: of the number.
        note: anything else.
        weights: keys of ``zoo evaluate`` to checkpoints, published or shipped. Empty where the row
            cannot be run.
        evaluate: overrides of ``zoo evaluate`` for the row.
        measured_as: metric to the result's value, without its count: "fid_inception".
        tolerance: metric to the largest deviation that counts as reproduced: a number, or a share
            of the paper's number such as "5%".
        stated: fields of a result's protocol that the table states.
        not_matched: known differences between the table and an evaluation here.
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
        """The tolerance of a metric in its own units."""
        tolerance, number = self.tolerance[metric], self.numbers[metric]
        if isinstance(tolerance, str):
            return float(tolerance.removesuffix("%")) / 100 * abs(number or 0.0)
        return float(tolerance)


@dataclass(frozen=True)
class PaperTable:
    """A paper's table.

    Attributes:
        name: of its file.
        paper: the paper's short name.
        table: the table's name in the paper.
        rows: all of them.
        arxiv: the paper's arXiv number.
        title: of the paper.
    """

    name: str
    paper: str
    table: str
    rows: list[PaperRow]
    arxiv: str | None = None
    title: str | None = None

    def choose(self, patterns: Sequence[str]) -> list[PaperRow]:
        """The rows of these names or patterns, in the table's order; all without patterns.

        Raises:
            ValueError: a pattern fits no row.
        """
        names = [row.name for row in self.rows]
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(f"{self.name} has no row '{pattern}'{_near(pattern, names)}")
        patterns = list(patterns) or ["*"]
        return [r for r in self.rows if any(fnmatchcase(r.name, pattern) for pattern in patterns)]


def paper_table(name: str | None, folder: Path | None = None) -> PaperTable:
    """The table of that name, from a user's own folder or from those that ship.

    Raises:
        ValueError: there is none, or its file is malformed: field and row are named.
    """
    available = files.files(folder)
    if name is None:
        raise ValueError("give table=NAME: `zoo list papers` shows the tables")
    if name not in available:
        near = _near(name, list(available))
        raise ValueError(f"there is no table '{name}'{near}: `zoo list papers` shows them")
    return read_table(available[name])


def read_table(file: Path) -> PaperTable:
    """The table in a file.

    Raises:
        ValueError: a field is missing, unknown or of another type, or a row is not complete.
    """
    content = files.load(file)
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
        raise ValueError(f"{file}: a table is a mapping with 'paper', 'table' and 'rows'")
    own = {f.name for f in fields(PaperTable)} - {"name", "rows"}
    head = {key: value for key, value in content.items() if key in own}
    facts = {key: value for key, value in content.items() if key not in own}
    rows = [_row(row, file.name) for row in files.rows(facts)]
    names = [row.name for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{file.name}: two rows are called '{twice[0]}'")
    table = build(PaperTable, {"name": file.stem, "rows": [], **head}, file.name)
    return replace(table, rows=rows)


def _row(facts: dict[str, Any], where: str) -> PaperRow:
    row = build(PaperRow, facts, f"{where}: {facts.get('name', 'a row')}")
    where = f"{where}: {row.name}"
    if row.weights and "checkpoint" not in row.weights:
        raise ValueError(f"{where}: weights names no 'checkpoint'")
    possible = [f.name for kind in (Protocol, Subject) for f in fields(kind)]
    for name in row.stated:
        if name.partition(".")[0] not in possible:
            near = _near(name, possible)
            raise ValueError(f"{where}: stated: a result has no field '{name}'{near}")
    for metric in row.measured_as.keys() & row.numbers.keys() if row.weights else ():
        try:
            row.within(metric)
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{where}: tolerance of {metric} is a number or like '5%'") from None
    return row


def _near(name: str, possible: list[str]) -> str:
    near = get_close_matches(name, possible, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
