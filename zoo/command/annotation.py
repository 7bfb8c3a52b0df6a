"""An annotation in source as a type that a value of a config can be checked with."""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable
from typing import Annotated, Any, Literal

from annotated_types import Len
from pydantic import AfterValidator

Scope = Callable[[str], "tuple[Scope, ast.AST] | None"]
"""Finds the definition of a name, and the scope to read it in; None where it is not at hand."""

_PLAIN: dict[str, Any] = {
    "int": int, "float": float, "bool": bool, "str": str, "None": None, "dict": dict,
    "Mapping": dict, "list": list, "tuple": list, "Sequence": list, "Iterable": list,
    "Path": str, "PathLike": str, "Any": Any, "object": Any,
}  # fmt: skip


def is_part(value: Any) -> Any:
    """Passes a config node that names its ``_target_``.

    Raises:
        ValueError: it is a plain value.
    """
    if isinstance(value, dict) and "_target_" in value:
        return value
    raise ValueError("expected keys with a _target_")


NODE = Annotated[Any, AfterValidator(is_part)]
"""An object of a class: in a config, a node with a ``_target_``."""


def annotation_type(node: ast.AST | None, scope: Scope, depth: int = 0) -> Any:
    """The type of an annotation, made of plain types, lists, literals and ``NODE``.

    Any where it is absent or cannot be read: what is not known to be wrong passes.
    """
    if node is None or depth > 8:
        return Any
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _text(node.value, scope, depth)
        return None if node.value is None else Any
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([node.left, node.right], scope, depth)
    if isinstance(node, ast.Subscript):
        return _subscript(node, scope, depth)
    if isinstance(node, ast.Name | ast.Attribute):
        return _name(ast.unparse(node), scope, depth)
    return Any


def _text(text: str, scope: Scope, depth: int) -> Any:
    try:
        statements = ast.parse(text).body
    except SyntaxError:
        return Any
    if len(statements) != 1 or not isinstance(statements[0], ast.Expr):
        return Any
    return annotation_type(statements[0].value, scope, depth + 1)


def _name(name: str, scope: Scope, depth: int) -> Any:
    last = name.rpartition(".")[2]
    if last in _PLAIN:
        return _PLAIN[last]
    if last == "Callable":
        return NODE
    place = scope(name)
    if place is None:
        return Any
    inner, definition = place
    if isinstance(definition, ast.ClassDef):
        return Any if _is_plain_class(definition) else NODE
    if isinstance(definition, ast.FunctionDef):
        return Any
    return annotation_type(definition, inner, depth + 1)  # an alias


def _is_plain_class(node: ast.ClassDef) -> bool:
    """Whether a config writes an instance as a plain value: an enumeration, a typed dict, a str."""
    bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    return bool(bases & {"Enum", "StrEnum", "IntEnum", "str", "int", "float", "TypedDict", "dict"})


def _subscript(node: ast.Subscript, scope: Scope, depth: int) -> Any:
    base = ast.unparse(node.value).rpartition(".")[2]
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if base == "Optional":
        return _union([*inner, ast.Constant(None)], scope, depth)
    if base == "Union":
        return _union(inner, scope, depth)
    if base == "Literal":
        values = tuple(part.value for part in inner if isinstance(part, ast.Constant))
        return Literal[values] if len(values) == len(inner) else Any
    if base in ("list", "List", "Sequence", "Iterable", "Collection"):
        return list[annotation_type(inner[0], scope, depth + 1)]  # type: ignore[misc]
    if base in ("tuple", "Tuple"):
        return _tuple(inner, scope, depth)
    if base in ("Annotated", "Final", "ClassVar"):
        return annotation_type(inner[0], scope, depth + 1)
    if base in ("dict", "Dict", "Mapping"):
        return dict
    return NODE if base in ("Callable", "type", "partial") else Any


def _tuple(inner: list[ast.expr], scope: Scope, depth: int) -> Any:
    if len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is ...:
        return list[annotation_type(inner[0], scope, depth + 1)]  # type: ignore[misc]
    element = _union(inner, scope, depth)
    return Annotated[list[element], Len(len(inner), len(inner))]  # type: ignore[valid-type]


def _union(nodes: list[ast.expr], scope: Scope, depth: int) -> Any:
    members = [annotation_type(node, scope, depth + 1) for node in nodes]
    return functools.reduce(operator.or_, members) if members != [None] * len(members) else None
