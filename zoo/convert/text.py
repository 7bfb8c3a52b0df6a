"""Text files beside weights: JSON and YAML, as strangers write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

_LONGEST = 32 * 2**20  # bytes; the longest tokenizers have some 10 MB
_MOST = 100_000  # values in a config, aliases counted as often as they stand


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, with or without a byte-order mark.

    Raises:
        ValueError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a JSON object")
    return content


def read_arguments(path: Path) -> dict[str, Any]:
    """The arguments in a YAML or JSON file, with or without a byte-order mark.

    Raises:
        ValueError: there is no such file, or it holds something else, or more than any config does.
    """
    try:
        content = yaml.safe_load(_text(path))  # JSON is YAML too
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds no arguments but a {type(content).__name__}")
    if _size(content, {}) > _MOST:  # aliases of aliases would fill the memory once written out
        raise ValueError(f"{path}: holds more than {_MOST:,} values, which no config does")
    return content


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Nested arguments, where those ``above`` go before.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    both = {
        key: merged(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return below | above | both


def _text(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path}: {'not a' if path.exists() else 'no such'} file")
    if path.stat().st_size > _LONGEST:
        raise ValueError(f"{path}: longer than {_LONGEST:,} bytes, which no config is")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: no text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None


def _size(value: Any, sizes: dict[int, int]) -> int:
    """The values in a config; one that stands in several places counts in each."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in sizes:
        sizes[id(value)] = _MOST + 1  # of one that contains itself
        inside = value.values() if isinstance(value, dict) else value
        sizes[id(value)] = 1 + sum(_size(item, sizes) for item in inside)
    return sizes[id(value)]
