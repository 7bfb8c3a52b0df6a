"""A sample's column as its user names it: a file's suffix, perhaps with a field of its JSON."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple


class Column(NamedTuple):
    """What a sample's label or caption is read from.

    Attributes:
        name: as it was given.
        suffix: of the file, without its first dot, in small letters.
        field: the path in a JSON file; empty where the whole file counts.
    """

    name: str
    suffix: str
    field: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str) -> Column:
        """The column of a name such as cls, txt, json.caption or meta.json.labels.first.

        >>> Column.of("json.label.id")
        Column(name='json.label.id', suffix='json', field=('label', 'id'))
        """
        match = re.fullmatch(r"((?:.*\.)?json)\.(.+)", name)
        if match is None:
            return cls(name, name.lower())
        return cls(name, match.group(1).lower(), tuple(match.group(2).split(".")))

    def value(self, content: bytes) -> Any:
        """The value in a file: its text, or a field of its JSON, None where that is missing.

        Raises:
            ValueError: it is no JSON.
        """
        if not self.field:
            return content
        value = json.loads(content)
        for key in self.field:
            value = value.get(key) if isinstance(value, dict) else None
        return value


def image_suffixes(name: str) -> tuple[str, ...]:
    """The suffixes that an image may have, by a name such as png or jpg;jpeg;png."""
    return tuple(part.strip().lower().lstrip(".") for part in name.split(";") if part.strip())


def member_parts(name: str) -> tuple[str, str] | None:
    """The sample and the suffix of a tar's member; None of hidden files and those without suffix.

    >>> member_parts("./a/b/0001.seg.PNG"), member_parts("a/._0001.png"), member_parts("README")
    (('a/b/0001', 'seg.png'), None, None)
    """
    folders, _, base = name.removeprefix("./").rpartition("/")
    stem, _, suffix = base.partition(".")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in folders.split("/") if part)
    if not stem or not suffix or hidden:
        return None
    return (f"{folders}/{stem}" if folders else stem), suffix.lower()
