"""A reference's arguments: its defaults filled in, unknown ones refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from zoo.system.errors import suggestion

T = TypeVar("T")

_LONGEST = 500  # characters of an error


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Within, an error that a stranger's config causes anywhere becomes one of one line.

    Args:
        what: begins the message: the file or folder, or what is converted.

    Raises:
        ValueError: in place of a wrong type, a missing entry or an impossible size.
    """
    try:
        yield
    except (TypeError, AttributeError, ArithmeticError, LookupError, RuntimeError) as error:
        line = " ".join(str(error).split())
        kind = type(error).__name__
        raise ValueError(
            f"{what}: the config does not describe a model: {kind}: {line[:_LONGEST]}"
        ) from error


def with_defaults(
    arguments: Mapping[str, Any], defaults: Mapping[str, Any], what: str, unread: Iterable[str] = ()
) -> dict[str, Any]:
    """``defaults`` with ``arguments`` over them.

    Args:
        arguments: by the reference's names.
        defaults: every argument that is read, with the reference's default; None where it has none.
        what: whose arguments they are, for the message.
        unread: known arguments that say nothing about the model.

    Raises:
        ValueError: an argument is unknown.
    """
    ignored = set(unread)
    for name in arguments:
        if name not in defaults and name not in ignored:
            names = sorted({*defaults, *ignored})
            raise ValueError(
                f"{what} takes no '{name}', it takes {', '.join(sorted(defaults))}"
                + suggestion(str(name), names)
            )
    return {**defaults, **{name: value for name, value in arguments.items() if name in defaults}}


def need(arguments: Mapping[str, Any], names: Iterable[str], what: str) -> None:
    """Raises ValueError where an argument without a default is missing."""
    if missing := [name for name in names if arguments.get(name) is None]:
        raise ValueError(f"{what} needs {', '.join(missing)}")


def refuse(arguments: Mapping[str, Any], fixed: Mapping[str, tuple[Any, ...]], what: str) -> None:
    """Raises ValueError where an argument has a value that the zoo's networks do not support.

    Args:
        arguments: complete ones.
        fixed: argument to its possible values.
        what: whose arguments they are, for the message.
    """
    for name, possible in fixed.items():
        if arguments[name] not in possible:
            shown = " or ".join(map(repr, possible))
            raise ValueError(
                f"{what}: {name}={arguments[name]!r} has no counterpart here: possible is {shown}"
            )


def choose(name: object, possible: Mapping[str, T], what: str) -> T:
    """The value of a name.

    Raises:
        ValueError: there is no such name.
    """
    if not isinstance(name, str) or name not in possible:
        raise ValueError(f"there is no {what} '{name}': possible are {', '.join(possible)}")
    return possible[name]


def numbers(text: Any, kind: type = int) -> tuple[Any, ...]:
    """Numbers of a list, or of a text such as "1,2,2,2".

    >>> numbers("32,16,8"), numbers([1, 2]), numbers("0.5,1", float)
    ((32, 16, 8), (1, 2), (0.5, 1.0))

    Raises:
        ValueError: there is something else among them.
    """
    given = text
    if isinstance(text, str):
        text = [word for word in text.split(",") if word.strip()]
    elif isinstance(text, int | float):
        text = [text]
    try:
        return tuple(kind(word) for word in text)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{given!r:.100} is no list of numbers") from None


def factors(side: int, resolutions: Iterable[int], num_levels: int) -> tuple[int, ...]:
    """The downsampling factors at which attention stands, from the sides it stands at.

    Sides that no level has are skipped, as in the references.

    >>> factors(256, (32, 16, 8), 6), factors(256, (16,), 4)
    ((8, 16, 32), ())
    """
    levels = {2**level for level in range(num_levels)}
    return tuple(sorted({side // resolution for resolution in resolutions} & levels))
