"""Every value of a composed config against its type: one clear line before anything slow."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Len, Lt, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError

from zoo.command.annotation import NODE
from zoo.command.signature import signature
from zoo.command.types import bounded, kind_of
from zoo.system.errors import suggestion

_OWN: dict[str, Any] = {  # hydra's, beside a target
    "_target_": str, "_partial_": bool, "_recursive_": bool, "_args_": list,
    "_convert_": Literal["none", "partial", "object", "all"],
}  # fmt: skip
_NOT_HERE = ("axes", "hydra")  # of the verbs' own making
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def check_values(config: Mapping[str, Any], here: bool = False) -> None:
    """Checks the values of a resolved config.

    Args:
        config: plain values; ``"???"`` where one is missing, which passes.
        here: whether they are about to be used, so that files and devices must exist.

    Raises:
        ValueError: a value is of another type than its key, out of bounds, or no argument of the
            class that it goes to.
    """
    for key, value in sorted(config.items(), key=lambda item: isinstance(item[1], dict)):
        if key not in _NOT_HERE:
            _check(key, value, kind_of(key), here)


def check_complete(config: Mapping[str, Any], needs: Sequence[str] = ()) -> None:
    """Checks that nothing is missing that the verb will read.

    Args:
        config: as above.
        needs: keys of which exactly one is set.

    Raises:
        ValueError: a key is missing; or none, or more than one, of ``needs`` is set.
    """
    present = [key for key in needs if config.get(key) not in (None, [], "???")]
    if needs and len(present) != 1:
        raise ValueError(
            f"give {' or '.join(f'{key}=...' for key in needs)}"
            + (f", not {' and '.join(present)}" if present else "")
        )
    missing = [key for key, value in config.items() if value == "???"]
    data = config.get("data")
    if isinstance(data, dict) and _reads_data(config):
        missing += [f"data.{key}" for key, value in data.items() if value == "???"]
    if missing:
        raise ValueError(f"{missing[0]} is missing: give {missing[0]}=...")


def _reads_data(config: Mapping[str, Any]) -> bool:
    """Whether a verb's config leads to its data set: stored images may stand in its place."""
    if "reference" in config:
        return config["reference"] in ("train", "test")
    return "split" not in config or config.get("images") is None


def _check(key: str, value: Any, kind: Any, here: bool) -> None:
    if value == "???":
        return
    if kind is not None:
        check_value(key, value, kind, here)
    if isinstance(value, dict):
        _check_node(key, value, here)


def _check_node(key: str, node: dict[str, Any], here: bool) -> None:
    target = node.get("_target_")
    known = signature(target) if isinstance(target, str) else None
    for name, value in node.items():
        if name in _OWN:
            _check(f"{key}.{name}", value, _OWN[name], here)
            continue
        argument = known.arguments.get(name) if known else None
        if known is not None and argument is None and known.closed and value is not None:
            takes = ", ".join(known.arguments) or "nothing"
            raise ValueError(
                f"{key}.{name}: {known.name} takes {takes}" + suggestion(name, known.arguments)
            )
        kind = kind_of(f"{key}.{name}")
        if kind is None and argument is not None:
            own = str(target).startswith(("zoo.", "eval."))
            kind = bounded(name, argument.kind) if own else argument.kind
        _check(f"{key}.{name}", value, kind, here)


def check_value(key: str, value: Any, kind: Any, here: bool = False) -> None:
    """Checks one value.

    Raises:
        ValueError: naming the key, what was expected, and what was got.
    """
    if _is_too_large(value):
        raise ValueError(f"{key}={written(value)}: too large a number")
    try:
        _adapter(kind).validate_python(value, context={} if here else None)
    except ValidationError as error:
        causes = [e["ctx"]["error"] for e in error.errors() if _of_a_text(value, e)]
        reason = str(causes[-1]) if causes else ""
        reason = reason.removeprefix(f"{value}: ") or f"expected {words(kind)}"
        if isinstance(value, float) and not math.isfinite(value):
            reason = reason.replace("a number", "a finite number")
        raise ValueError(f"{key}={written(value)}: {reason}") from None


def _is_too_large(value: Any) -> bool:
    """Whether a whole number, or one of a list, needs more than the 64 bits that tensors have."""
    if isinstance(value, list):
        return any(map(_is_too_large, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _of_a_text(value: Any, error: Mapping[str, Any]) -> bool:
    """Whether a validator refused the value, or one in it, which is a list."""
    inside = isinstance(value, list) and any(isinstance(step, int) for step in error["loc"])
    return "error" in error.get("ctx", {}) and (isinstance(value, str | int) or inside)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=_STRICT)


def written(value: Any) -> str:
    """A value as a command line writes it.

    >>> written(None), written([1, "a b"]), written(True), written("")
    ('null', '[1,a b]', 'true', "''")
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
    text = str(value)
    return (text if len(text) <= 80 else f"{text[:77]}...") if text else "''"


def words(kind: Any) -> str:
    """A type in words.

    >>> words(int | None), words(list[float])
    ('a whole number, or null', 'a list of numbers')
    """
    return ", or ".join(dict.fromkeys(_alternatives(kind)))


_PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "text",
          list: "a list", dict: "keys with values", None: "null", type(None): "null",
          Any: "any value"}  # fmt: skip


def _alternatives(kind: Any) -> Iterator[str]:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is NODE or (origin is Annotated and kind == NODE):
        yield "a part (keys with a _target_)"
    elif origin in (Union, types.UnionType):
        order = sorted(inner, key=lambda member: member is type(None))
        for member in order:
            yield from _alternatives(member)
    elif origin is Annotated:
        yield _bounded(words(inner[0]), inner[1:])
    elif origin is Literal:
        yield " or ".join(dict.fromkeys(written(value) for value in inner))
    elif origin is list:
        members = dict.fromkeys(_alternatives(inner[0]))
        yield f"a list of {_plural(' or '.join(members))}"
    else:
        yield _PLAIN.get(kind, "another value")


def _bounded(text: str, marks: tuple[Any, ...]) -> str:
    low = next((m for m in marks if isinstance(m, Ge | Gt)), None)
    high = next((m.le for m in marks if isinstance(m, Le)), None)
    below = next((m.lt for m in marks if isinstance(m, Lt)), None)
    length = next((m for m in marks if isinstance(m, Len)), None)
    if any(isinstance(m, MinLen) for m in marks):
        return text.replace("a list of", "a non-empty list of")
    if length is not None:
        return text.replace("a list of", f"a list of {length.min_length}")
    if below is not None:
        return f"{_bounded(text, (low,))} and below {below}"
    if isinstance(low, Gt):
        return f"{text} above {low.gt}" + (f", at most {high}" if high is not None else "")
    if low is None:
        return text if high is None else f"{text} of at most {high}"
    return f"{text} from {low.ge} to {high}" if high is not None else f"{text} of at least {low.ge}"


def _plural(text: str) -> str:
    for one, many in {"a whole number": "whole numbers", "a number": "numbers"}.items():
        text = text.replace(one, many)
    return text
