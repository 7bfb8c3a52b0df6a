"""The header of a safetensors file, read alone.

safetensors' own ``safe_open`` imports numpy, which takes a tenth of a second: here it is
milliseconds, and the errors say what else a file may be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

_LIMIT = 100_000_000  # bytes; safetensors' own limit
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x04")  # how torch's archives and pickles begin


class Header(NamedTuple):
    """The content of a header.

    Attributes:
        metadata: texts by name; empty where there are none.
        size: of the whole file, in bytes.
    """

    metadata: dict[str, str]
    size: int


def read_header(path: str | Path) -> Header:
    """The header of a file; the rest is not read.

    Raises:
        ValueError: there is no such file, its header is torn, or it is no safetensors file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    with open(path, "rb") as file:
        start = file.read(8)
        if start[:2] in _PICKLES:
            raise ValueError(f"{path}: a pickle; only safetensors files of this zoo are loaded")
        if len(start) < 8:
            raise ValueError(f"{path}: torn file: {len(start)} bytes")
        length = int.from_bytes(start, "little")
        if length > _LIMIT:
            raise ValueError(f"{path}: not a safetensors file")
        text = file.read(length)
    if len(text) < length:
        raise ValueError(f"{path}: torn file, or not a safetensors file: the header is cut off")
    try:
        entries = json.loads(text)
        metadata = entries.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        return Header(metadata if isinstance(metadata, dict) else {}, 8 + length + end)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path}: not a safetensors file") from None
