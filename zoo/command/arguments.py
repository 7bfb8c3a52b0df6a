"""What a user typed, as hydra reads it: prose is text, and lists may come without brackets.

Hydra's grammar wants quotes around a prompt with a comma, an apostrophe or a bracket, and around a
path with an equals sign. Nobody thinks of that before the first error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from zoo import paths
from zoo.command.help import options
from zoo.command.overrides import key_of, quoted, split_list
from zoo.command.types import kind_of

_NAME = r"(\+\+?|~)?[A-Za-z_][\w-]*([./][\w-]+)*(@[\w.-]*(:[\w.-]*)?)?"  # hydra's @ is a package
_CLOSED = ("hydra", "+hydra", "++hydra", "~hydra", "defaults")  # as a whole
_PATTERNS = ("data.train_file", "data.train_files", "data.test_file", "data.test_files")
_OPTIONAL = ("callbacks", "logger")  # groups that a training can do without
_FIRST = {
    "sample": "checkpoint", "evaluate": "checkpoint", "sweep": "checkpoint", "rosetta": "images",
    "train": "model", "compare": "models", "convert": "source", "reproduce": "table",
    "statistics": "data", "check": "sampler", "ema": "run",
}  # fmt: skip


def prepared(
    verb: str,
    overrides: Sequence[str],
    defaults: Mapping[str, Any] | None = None,
    multirun: bool = False,
) -> list[str]:
    """The overrides in hydra's grammar.

    Args:
        verb: the verb's name.
        overrides: as typed, without flags.
        defaults: what the verb's config chooses of each group (``zoo.command.help.groups``).
        multirun: whether comma lists make several runs.

    Raises:
        ValueError: one is no ``key=value``, or a comma list where there is one run.

    >>> prepared("sample", ["condition=a cat, asleep", "run_dir=a=b"])
    ["condition='a cat, asleep'", "run_dir='a=b'"]
    """
    _check_braces(overrides)
    choices = [_prepared(verb, override, defaults or {}, multirun) for override in overrides]
    return [choice for choice in choices if choice]


def _check_braces(overrides: Sequence[str]) -> None:
    """Refuses shards' key twice in a row, as a shell makes it of braces: the last alone counts."""
    for one, other in pairwise(overrides):
        key, sign, value = one.partition("=")
        again, _, another = other.partition("=")
        if sign and key == again and value != another and key in _PATTERNS:
            raise ValueError(
                f"{one} {other}: {key} is given twice, as a shell does it that takes braces apart; "
                "put quotes around a value with braces, or give the key once"
            )


def _prepared(verb: str, override: str, defaults: Mapping[str, Any], multirun: bool) -> str:
    name, sign, value = override.lstrip().partition("=")
    if not sign:
        if override.startswith("~"):
            return override
        key = _FIRST.get(verb)
        hint = f"; did you mean {key}={override}?" if key and not override.startswith("+") else ""
        raise ValueError(f"'{override}' is no key=value{hint}")
    name = name.rstrip()
    if not re.fullmatch(_NAME, name, re.ASCII) or name in _CLOSED:
        raise ValueError(f"'{name}' is no key: keys are words with dots, such as sampler.num_steps")
    override = f"{name}={value}"
    key = key_of(override)
    if (paths.configs() / key).is_dir():
        return _choice(name, key, value, defaults, multirun)
    if value[:1] in ("'", '"', "[", "{", "$") or value.strip() in ("", "null"):
        return override
    members = _members(kind_of(key))
    if _is_list(members):
        return override if multirun else f"{name}=[{value}]"
    prose = str in members
    if prose and value.startswith("~/"):  # which shells leave as it is after an equals sign
        value = os.path.expanduser(value)
        override = f"{name}={value}"
    readable, sweeps, plain = _read(override)
    if sweeps:
        if multirun:
            return override
        if is_prose(key, value):
            return f"{name}={quoted(value)}"
        raise ValueError(
            f"{override}: for a run with each value add -m; a list is {name}=[{value}]"
            + (f", and text is {name}='\"{value}\"'" if prose else "")
        )
    as_text = prose and not (type(plain) in members or isinstance(plain, str))
    return override if readable and not as_text else f"{name}={quoted(value)}"


def _choice(name: str, group: str, value: str, defaults: Mapping[str, Any], multirun: bool) -> str:
    """The choice of a group's config, or of several; empty where it changes nothing."""
    several = isinstance(defaults.get(group), list) and "@" not in name
    if value in ("null", "[]", ""):
        if several:
            return f"{name}=[]"
        if group in _OPTIONAL:
            return f"~{group}"
        if group in defaults and defaults[group] is None:
            return ""
        raise ValueError(f"{name}={value}: choose one of {', '.join(options(group))}")
    names = split_list(value[1:-1] if value[:1] + value[-1:] == "[]" else value)
    names = [text.strip().strip("'\"") for text in names]
    if not all(names):
        raise ValueError(f"{name}={value}: choose one of {', '.join(options(group))}")
    if private := [text for text in names if text.startswith("_")]:
        raise ValueError(f"no {group} called '{private[0]}'; there are {', '.join(options(group))}")
    if multirun or value.startswith("$"):
        return f"{name}={value}"
    if several:
        return f"{name}=[{','.join(map(quoted, names))}]"
    if len(names) > 1:
        raise ValueError(f"{name}={value}: one {group} is chosen; for a run with each add -m")
    return f"{name}={quoted(names[0])}"


def _is_list(members: set[Any]) -> bool:
    kinds = members - {type(None)}
    return bool(kinds) and all(get_origin(kind) is list for kind in kinds)


def _members(kind: Any) -> set[Any]:
    """The plain types among a type's alternatives."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return {plain for member in get_args(kind) for plain in _members(member)}
    return {kind}


def _read(override: str) -> tuple[bool, bool, Any]:
    """Whether hydra can read an override, whether it makes several runs, and its value."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        return False, False, None
    if parsed.is_sweep_override():
        return True, True, None
    value = parsed.value()
    return True, False, value if isinstance(value, bool | int | float | type(None)) else str(value)


def is_prose(key: str, value: str) -> bool:
    """Whether a value with commas is a text rather than a list of values.

    >>> is_prose("condition", "a cat, asleep"), is_prose("condition", "cat,dog")
    (True, False)
    """
    return str in _members(kind_of(key)) and any(" " in part for part in split_list(value))
