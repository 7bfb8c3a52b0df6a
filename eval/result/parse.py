"""Plain JSON values into frozen dataclasses, strictly: a wrong or missing field is named."""

from __future__ import annotations

import functools
import json
import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

_UNKNOWN = "unexpected_keyword_argument"
_NAMES = {"string": "str", "dataclass": "dict"}  # types that pydantic calls otherwise


def build(kind: type[T], value: Any, where: str) -> T:
    """Builds ``kind`` from parsed JSON.

    Args:
        kind: a dataclass or a type it is made of: str, int, float, bool, None, ``list[...]``,
            ``dict[str, ...]``, unions of them, Any.
        value: parsed JSON; an int is accepted as a float, a bool is not accepted as an int.
        where: names the value in errors.

    Raises:
        ValueError: a field is missing, unknown or of another type, or a number is not finite.

    >>> build(list[int], [1, "2"], "counts")
    Traceback (most recent call last):
        ...
    ValueError: counts[1]: expected int, got str '2'
    """
    try:
        # as text, because pydantic's strict mode builds dataclasses from JSON, not from dicts
        text = json.dumps(value, allow_nan=False)
        adapter: TypeAdapter[T] = _adapter(kind)  # type: ignore[arg-type]
        return adapter.validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise ValueError(_in_words(error, kind, value, where)) from None
    except (TypeError, ValueError) as error:  # NaN, or a value that JSON has not
        raise ValueError(f"{where}: {error}") from error


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _in_words(error: ValidationError, kind: Any, value: Any, where: str) -> str:
    """The first of the mistakes: an unknown field before all others, then the deepest one."""
    paths = [(_path(mistake["loc"], value), mistake) for mistake in error.errors()]
    paths.sort(key=lambda both: (both[1]["type"] != _UNKNOWN, -len(both[0])))
    path, first = paths[0]
    if first["type"] == _UNKNOWN:
        possible = ", ".join(_fields(kind, path[:-1]))
        return f"{_place(where, path[:-1])}: unknown field '{path[-1]}'; possible are {possible}"
    if first["type"] == "missing":
        return f"{_place(where, path)}: field '{first['loc'][-1]}' is missing"
    types_here = [m["type"].removesuffix("_type") for place, m in paths if place == path]
    expected = " or ".join(dict.fromkeys(_NAMES.get(name, name) for name in types_here))
    got = first["input"]
    return f"{_place(where, path)}: expected {expected}, got {type(got).__name__} {str(got)[:60]!r}"


def _path(loc: tuple[int | str, ...], value: Any) -> list[int | str]:
    """Pydantic's address of a mistake without the members of unions, which the value does not have.

    >>> _path(("seed", "list[int]", 0), {"seed": ["a"]})
    ['seed', 0]
    """
    path: list[int | str] = []
    for step in loc:
        items = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(items, dict) and step in items:
            value = items[step]
            path.append(step)
    return path


def _place(where: str, path: list[int | str]) -> str:
    return where + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _fields(kind: Any, path: list[int | str]) -> list[str]:
    """The names of the fields of the dataclass at a path inside a type."""
    inner = [member for member in typing.get_args(kind) if member is not types.NoneType]
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return _fields(inner[0], path)
    if not path:
        return [field.name for field in fields(kind)]
    step = typing.get_type_hints(kind)[str(path[0])] if is_dataclass(kind) else inner[-1]
    return _fields(step, path[1:])
