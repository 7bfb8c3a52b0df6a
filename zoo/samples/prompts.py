"""Conditions out of a text file: one caption or label a line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from zoo.generation import Model
from zoo.guidance import Guidance, num_classes


class Line(NamedTuple):
    """A line of a file with its number, which counts from 1 and counts blank lines too."""

    row: int
    text: str


def read_lines(path: str, key: str) -> list[Line]:
    """The lines of a UTF-8 file, with or without a byte order mark; blank ones are left out.

    Args:
        path: the file.
        key: what the command line calls it, for messages.

    Raises:
        ValueError: there is no such file, it is not UTF-8, or it has nothing but blank lines.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"{key}={path}: there is no such file")
    data = file.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = len(re.split(rb"\r\n|\r|\n", data[: error.start]))
        raise ValueError(
            f"{key}={path}, row {row}: not UTF-8 ({error.reason}); save the file as UTF-8"
        ) from None
    # not splitlines(), which also breaks at characters that may stand in a caption
    numbered = enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    lines = [Line(row, line.strip()) for row, line in numbered if line.strip()]
    for line in lines:
        if "\0" in line.text:
            raise ValueError(f"{key}={path}, row {line.row}: a NUL character: not a text file")
    if not lines:
        raise ValueError(f"{key}={path}: no line with text in it; one prompt a line is expected")
    return lines


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
