"""Nested dicts of plain values: their entries by dotted names, and how two of them differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any


def leaves(record: Any, prefix: str = "") -> dict[str, Any]:
    """Every plain value of a nested dict by its dotted name; lists are values.

    >>> leaves({"a": 1, "b": {"c": [2, 3]}})
    {'a': 1, 'b.c': [2, 3]}
    """
    if not isinstance(record, dict):
        return {prefix: record}
    values: dict[str, Any] = {}
    for key, value in record.items():
        values.update(leaves(value, f"{prefix}.{key}" if prefix else str(key)))
    return values


def field_differences(
    first: Any, second: Any, where: str = "", ignored: Collection[str] = (), absent: Any = None
) -> Iterator[tuple[str, Any, Any]]:
    """The dotted name of every entry in which two nested dicts differ, with both values.

    Args:
        first: a dict, or a value in one.
        second: what it is compared with.
        where: prefix of the names.
        ignored: keys that are skipped at every depth.
        absent: the value of a key that one of the two does not have.

    >>> list(field_differences({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 4}}))
    [('b.c', 2, 4), ('b.d', 3, None)]
    """
    if isinstance(first, dict) and isinstance(second, dict):
        for key in dict.fromkeys([*first, *second]):
            if key not in ignored:
                name = f"{where}.{key}" if where else str(key)
                values = first.get(key, absent), second.get(key, absent)
                yield from field_differences(*values, name, ignored, absent)
    elif first != second:
        yield where, first, second
