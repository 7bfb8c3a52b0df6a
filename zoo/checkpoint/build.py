"""Builds what a saved config describes, and nothing else.

A config inside a weights file is a stranger's text. If it could name any ``_target_``, loading
weights would run code; a test of the name's prefix is not enough, because modules re-export what
they import (``torch.nn.modules.module.torch.load`` unpickles). So each node is resolved here, and
only classes that live exactly where the config says, and are parts of models, are called.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from zoo.checkpoint.arguments import check_arguments
from zoo.part import Part

_MOVED = {"zoo.diffusion.weighting": "zoo.diffusion.objective"}
"""Modules that files of earlier versions name, and where their classes are now."""

_FUNCTION_MODULES = ("zoo.sampler.grid",)  # every public function there is a pure grid of times


def build(config: object, /, trust: Sequence[str] | None = (), **objects: object) -> Any:
    """The object that ``config`` describes, its parts first.

    Args:
        config: what ``config_of`` wrote: nested dicts with ``_target_``, lists, plain values.
        trust: packages, beside ``zoo`` and ``torch.nn``, whose classes may be named; None trusts
            every package, and is for a user's own text only.
        objects: built arguments of the outermost object, in place of those that
            ``config`` describes.

    Raises:
        ValueError: a target may not be built, an interpolation or an unknown directive stands in
            the config, or a constructor refuses its arguments.
    """
    check_config(config, trust)
    return _object(config, objects)


def check_config(config: object, trust: Sequence[str] | None = ()) -> None:
    """Raises what ``build`` would raise for any text in ``config``; nothing is called.

    Args:
        config: as for ``build``.
        trust: as for ``build``; None trusts every package.
    """
    try:
        _check(config, trust)
    except RecursionError:
        raise ValueError("the config is nested too deeply") from None


def _check(config: object, trust: Sequence[str] | None) -> None:
    if isinstance(config, dict):
        for key, value in config.items():
            if key.startswith("_") and key not in ("_target_", "_partial_"):
                raise ValueError(f"the config's directive '{key}' is refused")
            _check(key, trust)
            _check(value, trust)
        if "_target_" in config:
            _resolve(config["_target_"], config.get("_partial_", False), trust)
    elif isinstance(config, list):
        for value in config:
            _check(value, trust)
    elif isinstance(config, float) and math.isnan(config):
        raise ValueError("the config has a number that is NaN")
    elif isinstance(config, str) and "${" in config:
        raise ValueError(f"the config's interpolation '{config}' is refused: it is not resolved")


def _object(config: object, objects: Mapping[str, object] = MappingProxyType({})) -> Any:
    if isinstance(config, list):
        return [_object(value) for value in config]
    if not isinstance(config, dict):
        return config
    apart = ("_target_", "_partial_", *objects)
    arguments = {k: _object(v) for k, v in config.items() if k not in apart} | dict(objects)
    if "_target_" not in config:
        return arguments
    target = _look_up(_current(config["_target_"]))
    check_arguments(target, arguments)
    try:
        if config.get("_partial_", False):
            inspect.signature(target).bind_partial(**arguments)
            return functools.partial(target, **arguments) if arguments else target
        return target(**arguments)
    except TypeError as error:
        raise ValueError(
            f"{config['_target_']} does not take what the config says: {error}"
        ) from error


def _resolve(target: object, partial: bool, trust: Sequence[str] | None) -> None:
    """Refuses a target that is not a part of models, defined exactly at this path."""
    if not isinstance(target, str) or not all(p.isidentifier() for p in target.split(".")):
        raise _refusal(target, "it is not a dotted path")
    target = _current(target)
    if trust is not None and not _inside(target, ("zoo", "torch.nn", *trust)):
        raise _refusal(target, _not_trusted(target))
    if _inside(target, ("zoo", "torch.nn")) and any(p.startswith("_") for p in target.split(".")):
        raise _refusal(target, "it is private")  # importing zoo.__main__ would run it
    thing = _look_up(target)
    home, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if f"{home}.{name}" != target:
        raise _refusal(target, f"it lives elsewhere, at '{home}.{name}'")
    if inspect.isfunction(thing):
        if home not in _FUNCTION_MODULES or not partial:
            raise _refusal(target, "of functions, only the grids of zoo.sampler.grid are accepted")
    elif not inspect.isclass(thing):
        raise _refusal(target, "it is not a class")
    elif not _is_part(thing):
        raise _refusal(target, "it is not a part of a model")


def _is_part(thing: type) -> bool:
    if _inside(thing.__module__, ("zoo",)):
        return issubclass(thing, Part)  # data sets and callbacks read and write files
    if _inside(thing.__module__, ("torch.nn",)):
        from torch import nn

        return issubclass(thing, nn.Module)
    return True  # its package is trusted


def current(config: Any) -> Any:
    """The same config with the addresses that this version has for what it names.

    Raises:
        ValueError: it is nested too deeply.
    """
    try:
        return _renamed(config)
    except RecursionError:
        raise ValueError("the config is nested too deeply") from None


def _renamed(config: Any) -> Any:
    if isinstance(config, list):
        return [_renamed(value) for value in config]
    if not isinstance(config, dict):
        return config
    values = {key: _renamed(value) for key, value in config.items()}
    if isinstance(values.get("_target_"), str):
        values["_target_"] = _current(values["_target_"])
    return values


def _current(target: str) -> str:
    """The present path of a class that earlier versions had elsewhere."""
    module, _, name = target.rpartition(".")
    return f"{_MOVED[module]}.{name}" if module in _MOVED else target


def _look_up(target: str) -> Any:
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise _refusal(target, "there is no such class at the top of a module") from None
    except Exception as error:  # of somebody else's module
        raise _refusal(target, f"importing it raises {type(error).__name__}: {error}") from error


def _not_trusted(target: str) -> str:
    package = target.partition(".")[0]
    return (
        f"its package is not trusted; if you trust it, say trust=[{package}] on the command line, "
        f"or load(path, trust=('{package}',))"
    )


def _inside(path: str, packages: Sequence[str]) -> bool:
    return any(path == package or path.startswith(f"{package}.") for package in packages)


def _refusal(target: object, why: str) -> ValueError:
    return ValueError(f"the config's target '{target}' is refused: {why}")
