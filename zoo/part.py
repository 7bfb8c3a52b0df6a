"""A part records its arguments, so that a live object can be written down as a config."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

_PLAIN = (bool, int, float, str, type(None))


class Part:
    """Base of everything that a saved model is made of.

    Every subclass records the arguments its constructor was called with. A constructor argument
    that is kept as an attribute of the same name is read back *live*, so exchanging
    ``module.sampler`` changes the config that ``config_of`` writes.

    >>> class Ramp(Part):
    ...     def __init__(self, start: float, end: float = 1.0) -> None:
    ...         self.start, self.end = start, end
    >>> ramp = Ramp(0.5)
    >>> ramp.end = 2.0
    >>> {key: value for key, value in config_of(ramp).items() if key != "_target_"}
    {'start': 0.5, 'end': 2.0}
    """

    not_saved: ClassVar[tuple[str, ...]] = ()
    """Arguments that say how to train, not what the model is: left out of the config."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # __init__ is wrapped here rather than recorded in __new__, which would break deepcopy and
        # pickle (they call __new__ without arguments).
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _recorder(cls.__init__)  # type: ignore[method-assign]


def _recorder(init: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapped(self: Part, *args: Any, **kwargs: Any) -> None:
        if "_arguments" not in self.__dict__:  # the outermost constructor is the one that counts
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            arguments = dict(bound.arguments)
            arguments.pop(next(iter(signature.parameters)))
            for name, parameter in signature.parameters.items():
                if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                    arguments.update(arguments.pop(name, {}))
            self.__dict__["_arguments"] = arguments
        init(self, *args, **kwargs)

    return wrapped


def config_of(part: Part) -> dict[str, Any]:
    """Writes a live part down: ``_target_`` and its arguments, nested, in plain values.

    Raises:
        ValueError: an argument is neither plain, nor a part, nor a named function.
    """
    config: dict[str, Any] = {"_target_": _address(type(part))}
    if type(part).__init__ is object.__init__:  # nothing was recorded, for there are no arguments
        return config
    for name, argument in part.__dict__["_arguments"].items():
        if name in part.not_saved:
            continue
        live = getattr(part, name, argument)
        value = live if _is_writable(live) else argument
        config[name] = _plain_value(value, f"{type(part).__name__}.{name}")
    return config


def _is_writable(value: Any) -> bool:
    if isinstance(value, _PLAIN + (Part, functools.partial)) or inspect.isfunction(value):
        return True
    if isinstance(value, Mapping):
        return all(_is_writable(item) for item in value.values())
    return isinstance(value, list | tuple) and all(_is_writable(item) for item in value)


def _plain_value(value: Any, where: str) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Part):
        return config_of(value)
    if isinstance(value, functools.partial):
        if value.args:
            raise ValueError(f"{where}: a partial is written with keyword arguments only")
        keywords = {k: _plain_value(v, f"{where}.{k}") for k, v in value.keywords.items()}
        return {"_target_": _address(value.func), "_partial_": True, **keywords}
    if inspect.isfunction(value):
        return {"_target_": _address(value), "_partial_": True}
    if isinstance(value, Mapping):
        return {str(k): _plain_value(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, Sequence):
        return [_plain_value(v, where) for v in value]
    raise ValueError(
        f"{where}: cannot write a {type(value).__name__} into a config: make it a subclass of "
        "zoo.Part; possible are plain values, lists, parts and named functions"
    )


def _address(thing: Any) -> str:
    if "<" in thing.__qualname__:
        raise ValueError(f"{thing.__qualname__} has no address: define it at the top of a module")
    return f"{thing.__module__}.{thing.__qualname__}"
