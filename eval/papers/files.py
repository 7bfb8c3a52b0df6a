"""Tables of papers' numbers, ``tables/*.yaml``: where they are, and their rows as they stand.

A table's facts stand at its head, its rows below; a row that has rows of its own is a group, and
what stands in it holds for all of them. ``eval.papers.table`` reads the same files strictly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo import paths


def home() -> Path:
    """The folder of the tables that ship."""
    return Path(__file__).with_name("tables")


def files(folder: Path | None = None) -> dict[str, Path]:
    """Every table's file by its name; those in a ``folder`` of one's own come before namesakes."""
    own = sorted(folder.glob("*.yaml")) if folder is not None else []
    return {file.stem: file for file in [*sorted(home().glob("*.yaml")), *own]}


def read(file: Path) -> Any:
    """What the file holds.

    Raises:
        ValueError: it is no YAML.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    try:
        return yaml.load(file.read_text(encoding="utf-8"), loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: cannot be read: {' '.join(str(error).split())}") from None


def leaves(node: Mapping[str, Any], above: Mapping[str, Any] | None = None) -> Iterator[dict]:
    """The rows below a table or a group, each with what holds for it.

    Mappings are merged key by key, lists are appended; any other fact of a row takes the place of
    the one above it.

    >>> table = {"images": 9, "evaluate": ["a"], "rows": [{"name": "x", "evaluate": ["b"]}]}
    >>> list(leaves(table))
    [{'images': 9, 'evaluate': ['a', 'b'], 'name': 'x'}]
    """
    facts = dict(above or {})
    for key, value in node.items():
        if key != "rows":
            facts[key] = _joined(facts.get(key), value)
    if "rows" not in node:
        yield facts
    for row in node.get("rows") or ():
        yield from leaves(row, facts)


def line(file: Path) -> str:
    """A table in one line: what it is of, its rows, and which of them can be run."""
    try:
        table = read(file)
        rows = list(leaves(table))
        arxiv = f" (arXiv:{table['arxiv']})" if "arxiv" in table else ""
        told = f"{table['paper']}, {table['table']}{arxiv}: {_counted(rows)}"
        told += f", {sum(bool(row.get('from_memory')) for row in rows)} from memory"
        asked = [set(row["weights"].values()) for row in rows if row.get("weights")]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"cannot be read: {error}"
    absent = [{name for name in names if weights(name) is None} for names in asked]
    told += f", {sum(not names for names in absent)} can be run"
    missing = sorted(set().union(*absent))
    if missing:
        needed = ", ".join(missing) if len(missing) < 4 else f"{len(missing)} checkpoints converted"
        told += f", {sum(map(bool, absent))} more with {needed}"
    return told


def _counted(rows: list) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


def weights(name: str, folder: Path | None = None) -> Path | None:
    """The file of a checkpoint that ships, or of a published one once it was converted, if any.

    A converted one is looked for as NAME.safetensors in ``folder``, the current one and the
    cache's ``checkpoints``.
    """
    return next((place for place in places(name, folder) if place.is_file()), None)


def places(name: str, folder: Path | None = None) -> list[Path]:
    """Where ``weights`` looks."""
    folders = [folder] if folder is not None else []
    folders += [Path(), paths.cache() / "checkpoints", paths.checkpoints()]
    return [place / f"{name}.safetensors" for place in folders]


def _joined(above: Any, own: Any) -> Any:
    if isinstance(above, dict) and isinstance(own, dict):
        return {**above, **own}
    if isinstance(above, list) and isinstance(own, list):
        return [*above, *own]
    return own
