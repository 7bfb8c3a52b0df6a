"""Labels, captions and images as they stand in a table's columns, brought to one type."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.source.files import composed

Where = Callable[[int], str]
"""Names row i for a user: its file and line."""

_LIMIT = 1_000_000  # a class has a name and a row in a table: identifiers are no classes
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?")
_INTEGRAL = re.compile(r"[+-]?[0-9]+\.0*")
_EMPTY = {"", "nan", "NaN", "None", "<NA>"}  # as pandas and str() write what is missing
_NO_NUMBER = {"", "nan", "none", "<na>", "na", "n/a", "null"}  # in a column of numbers


def check_columns(names: Sequence[str], present: Sequence[str], where: object) -> None:
    """Raises ValueError where a named column does not exist; the message lists those that do."""
    for column in names:
        if column not in present:
            raise ValueError(f"{where} has no column {column!r}; it has {', '.join(present)}")


def labels(values: Sequence[Any], where: Where, column: str) -> list[int] | list[str]:
    """A column of class labels: integers from 0, or words.

    2, 2.0, "2" and "2.0" are the integer 2 in a column that holds nothing but such numbers. Else
    its texts are words, without blanks around them; digits may be among them, 2.0 may not.

    Raises:
        ValueError: a label is missing or something else; its row is named.
    """
    cells = [_plain(value) for value in values]
    texts = [cell for cell in cells if isinstance(cell, str)]
    all_texts = all(cell is None or isinstance(cell, str) for cell in cells)
    words = [t for t in texts if not _NUMBER.fullmatch(t) and t.casefold() not in _NO_NUMBER]
    if not words and not any(_NUMBER.fullmatch(text) for text in texts):
        words = [text for text in texts if text]  # a class may be called "none"
    if all_texts and words and not any(_INTEGRAL.fullmatch(text) for text in texts):
        return [_word(cell, where(i), column) for i, cell in enumerate(cells)]
    return [_integer(cell, where(i), column) for i, cell in enumerate(cells)]


def captions(values: Sequence[Any], where: Where, column: str) -> list[str | tuple[str, ...]]:
    """A column of captions: a sentence, or several in a list, for each image.

    Numbers are refused, but in a csv file, where all is text.

    Raises:
        ValueError: a caption is missing or something else; its row is named.
    """
    return [_sentences(value, where(i), column) for i, value in enumerate(values)]


def image_bytes(value: Any) -> bytes:
    """The encoded bytes of an image cell: bytes themselves, or a struct of bytes and path.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, dict):
        if value.get("bytes") is None and value.get("path"):
            return Path(value["path"]).read_bytes()
        value = value.get("bytes")
    if not isinstance(value, bytes):
        raise ValueError(
            f"expected bytes or a struct of bytes and path, got {type(value).__name__}"
        )
    return value


def _plain(value: Any) -> Any:
    """Texts without blanks around them, bytes as text, and Python's own numbers; NaN is None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="surrogateescape")
    if isinstance(value, str):
        return composed(value.strip())
    missing = isinstance(value, float | Decimal) and value != value
    return None if missing else value


def _word(cell: str | None, where: str, column: str) -> str:
    if cell is None or cell == "":
        raise _empty(where, column)
    return cell


def _integer(cell: Any, where: str, column: str) -> int:
    if cell is None or (isinstance(cell, str) and cell.casefold() in _NO_NUMBER):
        raise _empty(where, column)
    value = Decimal(cell) if isinstance(cell, str) and _NUMBER.fullmatch(cell) else cell
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not number or not 0 <= value < _LIMIT or value != int(value):
        raise ValueError(
            f"{where}: labels are integers from 0 (below {_LIMIT:,}), or words in all rows; column "
            f"{column!r} has {_short(cell)}"
        )
    return int(value)


def _sentences(value: Any, where: str, column: str) -> str | tuple[str, ...]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple) and value:
        sentences = tuple(_sentence(part, where, column) for part in value)
        return sentences if len(sentences) > 1 else sentences[0]
    return _sentence(value if value != [] else None, where, column)


def _sentence(value: Any, where: str, column: str) -> str:
    plain = _plain(value)
    if plain is None or (isinstance(plain, str) and plain in _EMPTY):
        raise _empty(where, column)
    if not isinstance(plain, str):
        raise ValueError(
            f"{where}: a caption is a sentence, or a list of sentences; column {column!r} has "
            f"{_short(value)}"
        )
    text = value.decode("utf-8", errors="surrogateescape") if isinstance(value, bytes) else value
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where}: column {column!r} is no valid UTF-8") from None
    return str(text)


def _empty(where: str, column: str) -> ValueError:
    return ValueError(f"{where}: column {column!r} is empty")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
