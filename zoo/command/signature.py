"""What the ``_target_`` of a config takes, read from its source: nothing is imported.

Importing torch and lightning takes longer than a user should wait for the news that a value is a
word where a number belongs. Python's own parser reads an annotation in milliseconds.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NamedTuple

from zoo.command.annotation import Scope, annotation_type


class Argument(NamedTuple):
    """One argument of a class or function: ``kind`` as pydantic reads types, Any where unknown.

    ``default`` is its plain default; None where there is none, or it is no literal.
    """

    kind: Any
    required: bool
    about: str
    default: Any = None


class Signature(NamedTuple):
    """The arguments by name; ``closed`` says that there are no others (no ``**kwargs``)."""

    name: str
    arguments: dict[str, Argument]
    closed: bool


@functools.cache
def signature(target: str) -> Signature | None:
    """The signature of a dotted address such as ``zoo.sampler.DDIM``.

    None where the source is not at hand (an extension, a name made at run time).
    """
    place = _definition(*_module_of(target))
    if place is None:
        return None
    module, node = place
    name = target.rpartition(".")[2]
    if isinstance(node, ast.FunctionDef):
        return Signature(name, *_arguments(module, node, _about(node)))
    if isinstance(node, ast.ClassDef):
        return _constructor(module, node, name)
    return None


def _constructor(module: str, node: ast.ClassDef, name: str) -> Signature:
    """The signature of a class's ``__init__``, or of its nearest ancestor's."""
    about = _about(node)
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            arguments, closed = _arguments(module, statement, about | _about(statement))
            arguments.pop(next(iter(arguments), ""), None)  # self
            if closed:
                return Signature(name, arguments, closed)
            inherited = _inherited(module, node, name)  # which **kwargs probably go to
            return inherited._replace(arguments=inherited.arguments | arguments)
    if node.decorator_list:  # a dataclass, say: its constructor is made at run time
        return Signature(name, {}, closed=False)
    return _inherited(module, node, name)


def _inherited(module: str, node: ast.ClassDef, name: str) -> Signature:
    """The constructor of a class's nearest ancestor that has one."""
    bases = [_dotted(base) for base in node.bases]
    closed = True
    for base in bases:
        if base.rpartition(".")[2] in ("object", "ABC", "Protocol", "NamedTuple", "Generic"):
            closed = closed and base != "NamedTuple"
            continue
        place = _definition(module, base)
        if place is None or not isinstance(place[1], ast.ClassDef):
            return Signature(name, {}, closed=False)
        inherited = _constructor(place[0], place[1], name)
        if inherited.arguments:
            return inherited
        closed = closed and inherited.closed
    return Signature(name, {}, closed)


def _arguments(
    module: str, node: ast.FunctionDef, about: dict[str, str]
) -> tuple[dict[str, Argument], bool]:
    spec = node.args
    positional = [*spec.posonlyargs, *spec.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(spec.defaults))
    pairs = [*zip(positional, [*defaults, *spec.defaults], strict=True)]
    pairs += zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    scope = functools.partial(_scope, module)
    arguments = {
        argument.arg: Argument(
            annotation_type(argument.annotation, scope),
            default is None,
            about.get(argument.arg, ""),
            _literal(default),
        )
        for argument, default in pairs
    }
    return arguments, spec.kwarg is None and spec.vararg is None


def _literal(default: ast.expr | None) -> Any:
    try:
        return None if default is None else ast.literal_eval(default)
    except ValueError:
        return None


def _scope(module: str, name: str) -> tuple[Scope, ast.AST] | None:
    """The definition behind a name of a module, and the scope in which to read it."""
    place = _definition(module, name)
    return None if place is None else (functools.partial(_scope, place[0]), place[1])


def _about(node: ast.ClassDef | ast.FunctionDef) -> dict[str, str]:
    """The first lines of the entries of a docstring's ``Args:``."""
    about: dict[str, str] = {}
    lines = (ast.get_docstring(node) or "").splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() == "Args:"), len(lines))
    current = ""
    for line in lines[start + 1 :]:
        if line and not line.startswith(" "):
            break
        name, sign, text = line.strip().partition(": ")
        if sign and line.startswith("    ") and not line.startswith("     "):
            current = name.partition(" ")[0].strip("*`,")
            about[current] = text
        elif current and line.strip():
            about[current] += f" {line.strip()}"
    return about


def _definition(module: str, name: str, depth: int = 0) -> tuple[str, ast.AST] | None:
    """The module and the node where a (dotted) name of a module is defined, through imports."""
    first, _, rest = name.partition(".")
    if not name or depth > 12 or (tree := _tree(module)) is None:
        return None
    for node in _statements(tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == first:
            return (module, node) if not rest else None
        if isinstance(node, ast.Assign) and not rest:
            if any(isinstance(t, ast.Name) and t.id == first for t in node.targets):
                return module, node.value
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not rest:
            if node.target.id == first and node.value is not None:
                return module, node.value
        if isinstance(node, ast.ImportFrom):
            home = _absolute(module, node)
            for alias in node.names:
                if (alias.asname or alias.name) == first:
                    if rest:
                        return _definition(f"{home}.{alias.name}", rest, depth + 1)
                    return _definition(home, alias.name, depth + 1)
        if isinstance(node, ast.Import) and rest:
            for alias in node.names:
                if alias.asname == first or (not alias.asname and alias.name == first):
                    return _definition(*_module_of(f"{alias.name}.{rest}"), depth + 1)
    return None


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    file = _file(module)
    package = module.split(".")
    drop = node.level - (file is not None and file.name == "__init__.py")
    base = package[: len(package) - drop] if drop else package
    return ".".join([*base, *([node.module] if node.module else [])])


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, within ``if`` and ``try`` too."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _statements([*node.body, *(s for h in node.handlers for s in h.body)])


def _module_of(target: str) -> tuple[str, str]:
    """The longest part of a dotted address that is a module, and the rest."""
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        if _file(module) is not None:
            return module, ".".join(parts[length:])
    return "", target


@functools.cache
def _tree(module: str) -> ast.Module | None:
    file = _file(module)
    try:
        return None if file is None else ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None


@functools.cache
def _file(module: str) -> Path | None:
    """The source file of a module; its packages are not imported, as ``find_spec`` would."""
    first, *rest = module.split(".") if module else [""]
    spec = PathFinder.find_spec(first) if first else None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    places = [Path(place) for place in spec.submodule_search_locations or []]
    *packages, last = rest
    for place in places:
        folder = place.joinpath(*packages)
        for file in (folder / last / "__init__.py", folder / f"{last}.py"):
            if file.is_file():
                return file
    return None


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Subscript):
        return _dotted(node.value)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
