"""``zoo compare``: models under one budget and one protocol, trained here or earlier."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from zoo import entry
from zoo.command.overrides import bracketed, readable, split_list
from zoo.system.errors import leave

_ADVICE = (
    "a shell takes braces apart: say models.NAME=FILE models.NAME=FILE, or put quotes around "
    "'models={NAME: FILE, NAME: FILE}'"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = bracketed(named(arguments), ["models"])
    except ValueError as error:
        leave("zoo compare", str(error))
    entry.run("compare", "compare", "eval.study.comparison:compare", arguments)


def named(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``models.NAME=...``, which needs no quotes in a shell, as one dict.

    Raises:
        ValueError: a name is given twice, or beside ``models=``; or a shell has split a dict.

    >>> named(["models.a=runs/1", "models.b.model=ddpm", "models.b.schedule=cosine", "seed=1"])
    ['seed=1', 'models={a: runs/1, b: {model: ddpm, schedule: cosine}}']
    """
    rest, rows = [], dict[str, str | dict[str, str]]()
    for argument in arguments:
        key, sign, value = argument.partition("=")
        group, _, path = key.lstrip("+").partition(".")
        if group == "models" and path and sign:
            name, _, inner = path.partition(".")
            _add(rows, name, inner, value)
        else:
            rest.append(argument)
    whole = next((a for a in rest if a.startswith("models=")), None)
    if whole is not None and whole.count("{") != whole.count("}"):
        raise ValueError(f"{whole} is only a part of a dict; {_ADVICE}")
    if sum(argument.startswith("models=") for argument in rest) > 1:
        raise ValueError(f"models= is given twice; {_ADVICE}")
    if rows and whole is not None:
        raise ValueError(f"{whole} and models.{next(iter(rows))}=...: give one or the other")
    return [*rest, f"models={_dict(rows)}"] if rows else rest


def _add(rows: dict[str, str | dict[str, str]], name: str, inner: str, value: str) -> None:
    """Puts a row, or a setting of one, among the rows."""
    if not re.fullmatch(r"\w[\w+-]*", name):
        raise ValueError(f"models.{name}: a name has letters, digits, _ and -")
    if not inner:
        if name in rows:
            raise ValueError(f"models.{name} is given twice")
        parts = split_list(value)
        texts = ",".join(map(readable, parts))
        rows[name] = texts if len(parts) == 1 else f"[{texts}]"
        return
    row = rows.setdefault(name, {})
    if isinstance(row, str) or inner in row:
        raise ValueError(f"models.{name}.{inner} is given twice")
    row[inner] = readable(value)


def _dict(rows: dict[str, str | dict[str, str]] | dict[str, str]) -> str:
    """A dict in hydra's override grammar."""
    texts = [f"{k}: {_dict(v) if isinstance(v, dict) else v}" for k, v in rows.items()]
    return "{" + ", ".join(texts) + "}"


if __name__ == "__main__":
    main()
