"""A metadata file as a table: csv, tsv, jsonl or parquet, with the line of every row."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.data.source.files import SUFFIXES, Files, suffix

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_SWALLOWED = re.compile(
    rf"[\r\n][^\r\n,;\t]*({'|'.join(map(re.escape, sorted(SUFFIXES)))})\"?[,;\t]", re.IGNORECASE
)
_FIELD_LIMIT = threading.Lock()  # csv's limit is one for the whole process


@dataclass(frozen=True)
class Table:
    """A metadata file's lines.

    Attributes:
        file: its path, for a user.
        columns: their names.
        rows: a value by column each; columns that a row lacks are missing or None.
        lines: each row's line in the file, from 1; empty where rows are counted instead, from 0.
    """

    file: str
    columns: Sequence[str]
    rows: Sequence[dict[str, Any]]
    lines: Sequence[int] = ()

    def where(self, index: int) -> str:
        """Names row ``index`` for a user."""
        place = f"line {self.lines[index]}" if self.lines else f"row {index}"
        return f"{self.file}, {place}"

    def column(self, name: str) -> list[Any]:
        """A column's values, None where a row has none."""
        return [row.get(name) for row in self.rows]


def read_table(files: Files, name: str) -> Table:
    """Reads a metadata file: csv, tsv, jsonl or parquet by its suffix.

    Raises:
        ValueError: it cannot be read, with its line.
    """
    file, content, kind = files.where(name), files.read(name), suffix(name)
    if kind == ".parquet":
        table = _parquet(file, content)
    else:
        text = _text(file, content)
        table = _csv(file, text, _SEPARATORS[kind]) if kind in _SEPARATORS else _jsonl(file, text)
    if not table.rows:
        raise ValueError(f"{file} lists no images")
    return table


def _text(file: str, content: bytes) -> str:
    """Raises ValueError where the file is not UTF-8, with the line; a byte-order mark goes."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{file}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}); save the file as "
            "UTF-8"
        ) from None
    if "\0" in text:
        raise ValueError(f"{file}: not UTF-8 (it has zero bytes); save the file as UTF-8")
    return text


def _csv(file: str, text: str, separator: str) -> Table:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    header: list[str] | None = None
    for line, cells in _cells(file, text, separator):
        if not "".join(cells).strip():
            continue
        if header is None:
            header = _header(file, cells, separator)
            continue
        if len(cells) != len(header):
            raise ValueError(
                f"{file}, line {line}: {len(cells)} fields, but the header names {len(header)} "
                f"({', '.join(header)}); put texts with {separator!r} in them between double quotes"
            )
        for cell in cells:
            if _SWALLOWED.search(cell):
                raise ValueError(
                    f"{file}, line {line}: a double quote that is never closed has swallowed the "
                    f"next lines: {cell[:40]!r}..."
                )
        rows.append(dict(zip(header, cells, strict=True)))
        lines.append(line)
    return Table(file, header or [], rows, lines)


def _cells(file: str, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of each record, with the line that it begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    while True:
        try:
            with _FIELD_LIMIT:
                limit = csv.field_size_limit(sys.maxsize)
                try:
                    cells = next(reader)
                finally:
                    csv.field_size_limit(limit)
        except StopIteration:
            return
        except csv.Error as error:
            problem = "a double quote is never closed" if "end of data" in str(error) else error
            raise ValueError(
                f"{file}, line {line}: {problem}; quotes within a quoted text are doubled"
            ) from None
        yield line, cells
        line = reader.line_num + 1


def _header(file: str, cells: list[str], separator: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise ValueError(f"{file} has two columns {twice[0]!r}")
    other = next((mark for mark in ";\t," if mark in header[0]), None)
    if len(header) == 1 and other is not None:
        raise ValueError(f"{file} has {other!r} between its columns, in the place of {separator!r}")
    return header


def _jsonl(file: str, text: str) -> Table:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    for line, content in enumerate(text.split("\n"), start=1):  # U+2028 and U+0085 end no line
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}, line {line}: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{file}, line {line}: expected an object, got {content[:40]}")
        rows.append(row)
        lines.append(line)
    return Table(file, list(dict.fromkeys(name for row in rows for name in row)), rows, lines)


def _parquet(file: str, content: bytes) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(pyarrow.BufferReader(content))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{file} cannot be read as parquet: {error}") from error
    return Table(file, table.column_names, table.to_pylist())
