"""The images that a metadata file lists, with their labels and captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from zoo.data.source.files import Files, say_once, some
from zoo.data.source.listing import is_litter
from zoo.data.source.table import Table
from zoo.data.source.values import captions, check_columns, labels

FILE_NAME = "file_name"
"""The column that says which image a line is about, as in ``datasets``' image folders."""


class Listed(NamedTuple):
    """The images that a metadata file lists, each once, in its order.

    Attributes:
        names: among the files.
        labels: one per image, or None.
        captions: one or several per image, or None.
    """

    names: list[str]
    labels: Sequence[int] | Sequence[str] | None
    captions: Sequence[str | tuple[str, ...]] | None


def listed(
    files: Files, table: Table, label: str | None, caption: str | None, missing: str = "stop"
) -> Listed:
    """The images in a table, with the columns named; says how many others there are.

    Lines about the same image are joined: their captions are all its captions.

    Args:
        files: where ``file_name`` is looked for.
        table: of the metadata.
        label: the column of labels, or None.
        caption: the column of captions, or None.
        missing: "stop" refuses a line whose file does not exist, "skip" keeps it, for the decoder
            to skip.

    Raises:
        ValueError: a column is unknown, a value is missing or wrong, or a file does not exist.
    """
    wanted = [name for name in (FILE_NAME, label, caption) if name is not None]
    check_columns(wanted, table.columns, table.file)
    kinds = None if label is None else labels(table.column(label), table.where, label)
    texts = None if caption is None else captions(table.column(caption), table.where, caption)
    first: dict[str, int] = {}
    sentences: dict[str, dict[str, None]] = {}
    for index, value in enumerate(table.column(FILE_NAME)):
        name = _file(files, value, table.where(index), missing)
        earlier = first.setdefault(name, index)
        if kinds is not None and kinds[index] != kinds[earlier]:
            raise ValueError(
                f"{table.where(index)}: {name} has the label {kinds[index]!r} here and "
                f"{kinds[earlier]!r} in {table.where(earlier)}"
            )
        if texts is not None:
            text = texts[index]
            several = (text,) if isinstance(text, str) else text
            sentences.setdefault(name, {}).update(dict.fromkeys(several))
    others = [name for name in files.images if name not in first]
    if others:
        say_once(
            f"{table.file}: left out {len(others)} images that it does not list ({some(others)})"
        )
    return Listed(
        list(first),
        None if kinds is None else _at(kinds, first.values()),
        None if texts is None else [_one_or_several(tuple(of)) for of in sentences.values()],
    )


def _at(labels: list[int] | list[str], rows: Iterable[int]) -> Any:
    return [labels[row] for row in rows]


def _one_or_several(sentences: tuple[str, ...]) -> str | tuple[str, ...]:
    return sentences if len(sentences) > 1 else sentences[0]


def _file(files: Files, value: Any, where: str, missing: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}: column {FILE_NAME!r} is no file's name, but {value!r}")
    name = files.find(value) or files.find(value.strip())
    if name is None and missing == "stop":
        raise ValueError(f"{where}: no such file, {value}{_hint(files, value)}")
    return name or value


def _hint(files: Files, value: str) -> str:
    """Why it does not count, or which file is perhaps meant."""
    if is_litter(value.replace("\\", "/")):
        return "; hidden and system files never count"
    last = value.replace("\\", "/").rpartition("/")[2].casefold()
    alike = [name for name in files.images if name.rpartition("/")[2].casefold() == last]
    return f"; did you mean {some(alike)}?" if alike else ""
