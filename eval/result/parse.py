"""Plain JSON values into frozen dataclasses, strictly: a wrong or missing field is named."""

from __future__ import annotations

import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any


def build(kind: Any, value: Any, where: str) -> Any:
    """Builds ``kind`` from parsed JSON.

    Args:
        kind: a dataclass or a type it is made of: str, int, float, bool, None, ``list[...]``,
            ``dict[str, ...]``, unions of them, Any.
        value: parsed JSON.
        where: names the value in errors.

    Raises:
        ValueError: a field is missing, unknown or of another type.

    >>> build(list[int], [1, "2"], "counts")
    Traceback (most recent call last):
        ...
    ValueError: counts[1]: expected int, got str '2'
    """
    if kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and types.NoneType in arguments:
            return None
        *others, last = (argument for argument in arguments if argument is not types.NoneType)
        fitting = [kind for kind in others if type(value) is (typing.get_origin(kind) or kind)]
        return build(fitting[0] if fitting else last, value, where)
    if origin is list:
        items = _expect(list, value, where)
        return [build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(items)]
    if origin is dict:
        entries = _expect(dict, value, where)
        return {key: build(arguments[1], item, f"{where}.{key}") for key, item in entries.items()}
    if is_dataclass(kind):
        return _dataclass(kind, _expect(dict, value, where), where)
    return _expect(kind, value, where)


def leaves(record: Any, prefix: str = "") -> dict[str, Any]:
    """Every plain value of a nested dict by its dotted name; lists are values.

    >>> leaves({"a": 1, "b": {"c": [2, 3]}})
    {'a': 1, 'b.c': [2, 3]}
    """
    if not isinstance(record, dict):
        return {prefix: record}
    found: dict[str, Any] = {}
    for key, value in record.items():
        found.update(leaves(value, f"{prefix}.{key}" if prefix else str(key)))
    return found


def _dataclass(kind: Any, entries: dict[str, Any], where: str) -> Any:
    known = {field.name: field for field in fields(kind)}
    for name in entries:
        if name not in known:
            raise ValueError(f"{where}: unknown field '{name}'; possible are {', '.join(known)}")
    hints = typing.get_type_hints(kind)
    built: dict[str, Any] = {}
    for name, field in known.items():
        if name in entries:
            built[name] = build(hints[name], entries[name], f"{where}.{name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where}: field '{name}' is missing")
    return kind(**built)


def _expect(kind: type, value: Any, where: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # not isinstance: a bool is no int here
        raise ValueError(
            f"{where}: expected {kind.__name__}, got {type(value).__name__} {str(value)[:60]!r}"
        )
    return value
