"""Checksums within kept files: one that was changed since it was written is not believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.system.files import replacing

WRONG = "its checksum is wrong"

_MARK = b"\nsha256 "  # behind the content: npy and npz files may end in anything
_LENGTH = len(_MARK) + 64


def checksum(record: Mapping[str, Any]) -> str:
    """sha256 of a record's values, however its JSON text is laid out."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def replacing_sealed(path: Path) -> Iterator[Path]:
    """Gives a path to write to; the whole file, with a checksum at its end, replaces ``path``.

    The checksum is of the content and of the names of the file and its folder, so that a sound
    file in another's place is told apart.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        yield part
        seal = _MARK + _digest(part, part.stat().st_size, path)
        with open(part, "ab") as file:
            file.write(seal)


def check_sealed(path: Path) -> None:
    """Reads a file through.

    Raises:
        ValueError: it is not what ``replacing_sealed`` wrote there.
        OSError: it cannot be read.
    """
    size = path.stat().st_size - _LENGTH
    with open(path, "rb") as file:
        file.seek(max(0, size))
        end = file.read()
    if size < 0 or end != _MARK + _digest(path, size, path):
        raise ValueError(WRONG)


def _digest(file: Path, size: int, path: Path) -> bytes:
    """sha256, as hexadecimal digits, of a file's first bytes in the place of ``path``."""
    digest = hashlib.sha256(f"{path.parent.name}/{path.name}\n".encode())
    with open(file, "rb") as content:
        while size > 0 and (piece := content.read(min(size, 1 << 20))):
            digest.update(piece)
            size -= len(piece)
    return digest.hexdigest().encode()
