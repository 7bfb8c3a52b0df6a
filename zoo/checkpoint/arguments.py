"""Whether arguments suit a constructor: its annotations say what it takes.

A config is a stranger's text, and a part in another's place (a list as a sampler) would be noticed
only once images are drawn. Annotations that cannot be read, and parameters without one, take
anything.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

_NUMBERS = (int, float)
_LISTS = (list, tuple, Sequence, Collection, Iterable)  # JSON has lists alone


def check_arguments(target: Callable[..., object], arguments: Mapping[str, object]) -> None:
    """Refuses arguments that ``target`` is not annotated to take.

    Args:
        target: a class, or a function of which a partial is made.
        arguments: by name.

    Raises:
        ValueError: says which argument is what, and what it should be.
    """
    hints = _hints(target.__init__ if inspect.isclass(target) else target)
    for name, value in arguments.items():
        if name in hints and not fits(value, hints[name]):
            what = f"{target.__module__}.{target.__qualname__}"
            raise ValueError(f"{what}: {name} is {_shown(value)}, not {_hint_shown(hints[name])}")


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of an annotated type.

    >>> fits(3, float), fits(True, int), fits([1, 2], tuple[int, int]), fits("x", int | None)
    (True, False, True, False)
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, choice) for choice in inner)
    if origin is typing.Literal:
        return value in inner
    if origin is not None and origin is typing.get_origin(Callable[..., Any]):
        return _is_callable(value, *inner) if inner else callable(value)
    kind = origin if inspect.isclass(origin) else hint
    if kind is None or kind is types.NoneType:
        return value is None
    if not inspect.isclass(kind) or kind in (object, Any):
        return True  # Any, type variables, and what nobody here writes
    if _is_protocol(kind):
        return not inspect.isclass(value) and all(hasattr(value, name) for name in _members(kind))
    if kind in _NUMBERS:
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if isinstance(value, str) and kind in _LISTS:
        return False
    if isinstance(value, list | tuple) and kind in _LISTS:
        return _items_fit(value, kind, inner)
    return isinstance(value, kind)


def _items_fit(value: list[Any] | tuple[Any, ...], kind: type, inner: tuple[Any, ...]) -> bool:
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(fits, value, inner))
    return not inner or all(fits(item, inner[0]) for item in value)


def _is_callable(value: object, parameters: Any, result: Any) -> bool:
    """Whether a value may be called with these arguments, for such a result."""
    if not callable(value):
        return False
    if not isinstance(parameters, list):
        return True
    call = value if inspect.isroutine(value) or inspect.isclass(value) else _call(value)
    try:
        signature = inspect.signature(call)
        signature.bind(*parameters)
    except (TypeError, ValueError):
        return False
    hints = _hints(call)
    returns = call if inspect.isclass(call) else hints.get("return", Any)
    takes = [hints.get(name, Any) for name in signature.parameters]
    pairs = zip([returns, *takes], [result, *parameters], strict=False)
    return all(_overlap(one, other) for one, other in pairs)


def _call(value: Any) -> Any:
    if isinstance(value, functools.partial):
        return value
    return value.forward if hasattr(value, "forward") else value.__call__


def _overlap(one: Any, other: Any) -> bool:
    """Whether two annotations have a type in common, as far as classes tell."""
    pairs = [(a, b) for a in _classes(one) for b in _classes(other)]
    return not pairs or any(issubclass(a, b) or issubclass(b, a) for a, b in pairs)


def _classes(hint: Any) -> set[type]:
    """The classes that an annotation names; none where it takes anything."""
    if isinstance(hint, typing.TypeVar):
        return {kind for choice in hint.__constraints__ for kind in _classes(choice)}
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        choices = [_classes(choice) for choice in typing.get_args(hint)]
        return set().union(*choices) if all(choices) else set()
    kind = typing.get_origin(hint) or hint
    known = inspect.isclass(kind) and kind not in (object, Any) and not _is_protocol(kind)
    return {kind} if known else set()


@functools.cache
def _hints(call: Callable[..., object]) -> dict[str, Any]:
    """The annotations that can be read now; names for type checkers alone are left out."""
    bound = call.func if isinstance(call, functools.partial) else call
    function: Any = inspect.unwrap(bound)
    names = getattr(function, "__globals__", {})
    hints: dict[str, Any] = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        one = types.SimpleNamespace(__annotations__={name: hint})
        try:
            hints |= typing.get_type_hints(one, names)
        except (NameError, AttributeError, TypeError):
            continue
    return hints


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _members(kind: type) -> set[str]:
    """What an object has that keeps to a protocol."""
    bases = [base for base in kind.__mro__ if _is_protocol(base) and base is not typing.Protocol]
    names = {name for base in bases for name in (*vars(base), *base.__annotations__)}
    return {name for name in names if not name.startswith("_") or name == "__call__"}


def _shown(value: object) -> str:
    if isinstance(value, bool | int | float | str | types.NoneType):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:60]}..."
    name = value.__name__ if inspect.isclass(value) else type(value).__name__
    return f"the class {name}" if inspect.isclass(value) else f"a {name}"


def _hint_shown(hint: Any) -> str:
    return hint.__name__ if inspect.isclass(hint) else str(hint).replace("typing.", "")
