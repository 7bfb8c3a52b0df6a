"""Conditions out of a text file: one caption or label a line."""

from __future__ import annotations

from zoo.generation import Model
from zoo.guidance import Guidance, num_classes
from zoo.samples.lines import Line


def as_conditions(
    lines: list[Line], module: Model, guidance: Guidance | None, path: str, key: str
) -> list[str] | list[int]:
    """A line's text for a model that reads captions, its number for one that knows labels.

    Args:
        lines: of the file.
        module: the model that reads them.
        guidance: which reads labels where the model knows none.
        path: the file, for messages.
        key: what the command line calls it, for messages.

    Raises:
        ValueError: the model reads neither, or a line is none of its labels.
    """
    if getattr(module.conditioner, "reads_captions", False):
        return [line.text for line in lines]
    classes = getattr(module.conditioner, "num_classes", None) or num_classes(guidance)
    if classes is None:
        raise ValueError(f"{key}={path}: this model reads neither captions nor labels")
    for line in lines:
        if not line.text.isdecimal() or not int(line.text) < classes:
            raise ValueError(
                f"{key}={path}, row {line.row}: '{line.text[:40]}' is no label: this model reads "
                f"no captions, but labels 0 to {classes - 1}"
            )
    return [int(line.text) for line in lines]


def each(values: list[str] | list[int], count: int) -> list[str] | list[int]:
    """Every value ``count`` times, one after another.

    >>> each(["a", "b"], 2)
    ['a', 'a', 'b', 'b']
    """
    return [value for value in values for _ in range(count)]  # type: ignore[return-value]
