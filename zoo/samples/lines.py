"""Text files of conditions, one a line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Line(NamedTuple):
    """A line of a file with its number, which counts from 1 and counts blank lines too."""

    row: int
    text: str


def read_lines(path: str) -> list[Line]:
    """The lines of a UTF-8 file, with or without a byte order mark; blank ones are left out.

    Args:
        path: the file.

    Raises:
        ValueError: there is no such file, it is not UTF-8, or it has nothing but blank lines.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"{path}: there is no such file")
    data = file.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = len(re.split(rb"\r\n|\r|\n", data[: error.start]))
        raise ValueError(
            f"{path}, row {row}: not UTF-8 ({error.reason}); save the file as UTF-8"
        ) from None
    # not splitlines(), which also breaks at characters that may stand in a caption
    numbered = enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    lines = [Line(row, line.strip()) for row, line in numbered if line.strip()]
    for line in lines:
        if "\0" in line.text:
            raise ValueError(f"{path}, row {line.row}: a NUL character: not a text file")
    if not lines:
        raise ValueError(f"{path}: no line with text in it; one prompt a line is expected")
    return lines
