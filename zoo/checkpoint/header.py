"""The header of a safetensors file, read alone.

safetensors' own ``safe_open`` imports numpy, which takes a tenth of a second: here it is
milliseconds, and the errors say what else a file may be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

_LIMIT = 16 * 2**20  # bytes: a thousand tensors have 100 kB, and JSON takes ten times its size
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch's archives, pickles


class Header(NamedTuple):
    """The content of a header.

    Attributes:
        metadata: texts by name; empty where there are none.
        size: of the whole file, in bytes.
        tensors: name to shape.
    """

    metadata: dict[str, str]
    size: int
    tensors: dict[str, tuple[int, ...]]


def read_header(path: str | Path) -> Header:
    """The header of a file; the rest is not read.

    Raises:
        ValueError: there is no such file, it cannot be read, its header is torn, or it is no
            safetensors file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {'not a' if path.exists() else 'no such'} file")
    try:
        text = _header(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        entries = json.loads(text, object_pairs_hook=_unique)
        metadata = entries.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
        return Header(metadata if isinstance(metadata, dict) else {}, 8 + len(text) + end, shapes)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path}: not a safetensors file") from None


def _header(path: Path) -> bytes:
    with open(path, "rb") as file:
        start = file.read(8)
        if start.startswith(_PICKLES):
            raise ValueError(f"{path}: a pickle; only safetensors files of this zoo are loaded")
        if len(start) < 8:
            raise ValueError(f"{path}: torn file: {len(start)} bytes")
        length = int.from_bytes(start, "little")
        if length > _LIMIT:
            raise ValueError(f"{path}: not a safetensors file, or with a header of over 16 MB")
        text = file.read(length)
    if len(text) < length:
        raise ValueError(f"{path}: torn file, or not a safetensors file: the header is cut off")
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that stands twice, readers would take one or the other."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("a name stands twice")
    return entries
