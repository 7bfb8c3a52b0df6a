"""Tables of papers' numbers, ``tables/*.yaml``: their files and their rows as plain values.

A table's facts are at its head, its rows below; a row that has rows of its own is a group, whose
facts hold for all of them. ``eval.papers.table`` reads the same files strictly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo import paths

HOME = Path(__file__).with_name("tables")
"""The folder of the tables that ship."""


def files(folder: Path | None = None) -> dict[str, Path]:
    """Every table's file by its name; a user's own ``folder`` takes precedence."""
    own = sorted(folder.glob("*.yaml")) if folder is not None else []
    return {file.stem: file for file in [*sorted(HOME.glob("*.yaml")), *own]}


def load(file: Path) -> Any:
    """The file's content, as plain values.

    Raises:
        ValueError: it is not YAML.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where available
    try:
        return yaml.load(file.read_text(encoding="utf-8"), loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: cannot be read: {' '.join(str(error).split())}") from None


def rows(node: Mapping[str, Any], above: Mapping[str, Any] | None = None) -> Iterator[dict]:
    """The rows below a table or a group, each with all facts that hold for it.

    Mappings are merged key by key, lists are appended; any other fact of a row replaces the one
    above it.

    >>> table = {"images": 9, "evaluate": ["a"], "rows": [{"name": "x", "evaluate": ["b"]}]}
    >>> list(rows(table))
    [{'images': 9, 'evaluate': ['a', 'b'], 'name': 'x'}]
    """
    facts = dict(above or {})
    for key, value in node.items():
        if key != "rows":
            facts[key] = _joined(facts.get(key), value)
    if "rows" not in node:
        yield facts
    for row in node.get("rows") or ():
        yield from rows(row, facts)


def line(file: Path) -> str:
    """A table in one line: its paper, its rows, and how many of them can be run."""
    try:
        table = load(file)
        facts = list(rows(table))
        arxiv = f" (arXiv:{table['arxiv']})" if "arxiv" in table else ""
        count = "1 row" if len(facts) == 1 else f"{len(facts)} rows"
        text = f"{table['paper']}, {table['table']}{arxiv}: {count}"
        text += f", {sum(bool(row.get('from_memory')) for row in facts)} from memory"
        checkpoints = [set(row["weights"].values()) for row in facts if row.get("weights")]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"cannot be read: {error}"
    absent = [{name for name in names if weights_file(name) is None} for names in checkpoints]
    text += f", {sum(not names for names in absent)} can be run"
    missing = sorted(set().union(*absent))
    if missing:
        needed = ", ".join(missing) if len(missing) < 4 else f"{len(missing)} checkpoints converted"
        text += f", {sum(map(bool, absent))} more with {needed}"
    return text


def weights_file(name: str, folder: Path | None = None) -> Path | None:
    """The file of a checkpoint that ships, or of a converted published one, if there is one.

    A converted one is NAME.safetensors in ``folder``, the current one or the cache's
    ``checkpoints``.
    """
    return next((place for place in places(name, folder) if place.is_file()), None)


def places(name: str, folder: Path | None = None) -> list[Path]:
    """The paths that ``weights_file`` tries."""
    folders = [folder] if folder is not None else []
    folders += [Path(), paths.cache() / "checkpoints", paths.checkpoints()]
    return [place / f"{name}.safetensors" for place in folders]


def _joined(above: Any, own: Any) -> Any:
    if isinstance(above, dict) and isinstance(own, dict):
        return {**above, **own}
    if isinstance(above, list) and isinstance(own, list):
        return [*above, *own]
    return own
