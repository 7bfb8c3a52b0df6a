"""The files of a training's averages: the main one is the model, others lie beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.averages.length import in_words, name_of
from zoo.checkpoint.file import provenance
from zoo.checkpoint.name import MODEL_FILE, average_name
from zoo.checkpoint.published import checkpoint_file

_SAME = ("model", "steps", "data", "budget")  # in the files of one training


def average_file(name: object, ema: float | None) -> Path:
    """The file of a checkpoint with the average of that length as its weights.

    Args:
        name: a checkpoint, as ``checkpoint_file`` takes it.
        ema: the number of a decay or a ``sigma_rel``; None for the checkpoint itself.

    Raises:
        ValueError: there is no such checkpoint, no such average beside it, or it is of an earlier
            end of the training.
    """
    path = checkpoint_file(name)
    if ema is None:
        return path
    number, facts = name_of(ema), provenance(path)
    own = record(facts)
    if own is not None and number_in(own) == ema:
        return path
    other = path.with_name(average_name(number))
    if path.name != MODEL_FILE or not other.is_file():
        raise ValueError(f"ema={number}: {_possible(path, own)}")
    theirs = provenance(other)
    if differing := [key for key in _SAME if theirs.get(key) != facts.get(key)]:
        key = differing[0]
        what = f": {key} is {theirs.get(key)}, not {facts.get(key)}" if key == "steps" else ""
        raise ValueError(
            f"ema={number}: {other} is not of the training that {path} is of{what}; remove it, and "
            "`zoo ema` rebuilds what has snapshots"
        )
    return other


def record(facts: dict[str, Any]) -> dict[str, Any] | None:
    """The length of the average that a file's weights are, by its provenance; None if unknown.

    >>> record({"average": {"sigma_rel": 0.05}}), record({"budget": {"ema": "decay 0.999"}})
    ({'sigma_rel': 0.05}, {'decay': 0.999})
    """
    if facts.get("average"):
        return dict(facts["average"])
    kind, _, number = str((facts.get("budget") or {}).get("ema")).partition(" ")
    return {kind: float(number)} if kind == "decay" and number else None  # of earlier versions


def number_in(average: dict[str, Any]) -> float:
    """The number by which an average is called."""
    return float(average["decay"] if "decay" in average else average["sigma_rel"])


def averages_beside(path: Path) -> dict[str, Path]:
    """The files of the other averages of a run, by their numbers."""
    every = sorted(path.parent.glob(average_name("*"))) if path.name == MODEL_FILE else []
    prefix, suffix = average_name("*").split("*")
    return {file.name.removeprefix(prefix).removesuffix(suffix): file for file in every}


def _possible(path: Path, own: dict[str, Any] | None) -> str:
    there = [] if own is None else [f"{name_of(number_in(own))} ({in_words(own)})"]
    there += averages_beside(path)
    text = f"{path} has the averages {', '.join(there)}" if there else f"{path} has no averages"
    if own is not None and "training" in own:
        text += f"; `zoo ema run={path.parent} sigma_rel=...` makes others"
    return text
