"""Placeholders for whatever a pickle names and nobody imports."""

from __future__ import annotations

import pickle
from typing import Any

from torch import Tensor

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_UNDER_WAY = object()


class Inert:
    """Takes every argument, state and item, and keeps none of it."""

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Inert:
        return self

    def __setstate__(self, *state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Nothing is kept."""

    def extend(self, values: Any) -> None:
        """Nothing is kept."""

    def add(self, value: Any) -> None:
        """Nothing is kept."""


class Held:
    """A tensor while its pickle is read: nothing can be called on it or set."""

    __slots__ = ("tensor",)
    tensor: Tensor

    def __init__(self, tensor: Tensor) -> None:
        object.__setattr__(self, "tensor", tensor)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a pickle tried to change a tensor")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a pickle tried to change a tensor")


def placeholder() -> type[Inert]:
    """A new class with nothing in it, to stand for one that a pickle names."""
    return type("Placeholder", (Inert,), {"__slots__": ()})


def plain(value: Any) -> Any:
    """``value`` with tensors, numbers and texts in dicts, lists, tuples and sets, and no more.

    Entries of dicts whose key or value is something else are left out; in lists None stands for it.

    Raises:
        ValueError: containers contain themselves.
    """
    return _plain(value, {})


def _plain(value: Any, made: dict[int, Any]) -> Any:
    if isinstance(value, Held):
        return value.tensor
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, _PLAIN) or not isinstance(value, dict | list | tuple | set | frozenset):
        return value if isinstance(value, _PLAIN) else None
    if id(value) not in made:
        made[id(value)] = _UNDER_WAY
        made[id(value)] = _container(value, made)
    if made[id(value)] is _UNDER_WAY:
        raise ValueError("containers that contain themselves")
    return made[id(value)]


def _container(value: Any, made: dict[int, Any]) -> Any:
    if isinstance(value, dict):
        kept = ((k, v) for k, v in dict.items(value) if isinstance(k, _PLAIN))
        found = ((k, v, _plain(v, made)) for k, v in kept)
        return {key: made_ for key, item, made_ in found if made_ is not None or item is None}
    if isinstance(value, set | frozenset):
        return {item for item in value if isinstance(item, _PLAIN)}
    return [_plain(item, made) for item in value]
