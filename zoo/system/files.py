"""Files written whole or not at all, what they hold by its hash, and sizes in words."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
"""Units of sizes."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to, and moves the whole file over it at the end."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.touch()
        mode = part.stat().st_mode  # as the umask has it; safetensors would leave 0600
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        part.chmod(mode)
        os.replace(part, path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes a folder's names durable; nothing where a system has no such call."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed writers left in a folder and in those below it, one level deep.

    Nobody else may be writing there: a run's folder is locked before.
    """
    for pattern in (".*.part", "*/.*.part"):
        for file in folder.glob(pattern):
            if re.fullmatch(r"\..+\.\d+\.part", file.name) and file.is_file():
                file.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: str | bytes) -> Path:
    """Writes beside ``path`` and renames, so that a full disk leaves an older file intact."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sha256(path: str | Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_text(size: int) -> str:
    """Bytes in words.

    >>> size_text(0), size_text(1_234), size_text(5_000_000_000)
    ('0 B', '1.2 KB', '5.0 GB')
    """
    unit = next((u for u in reversed(BYTES) if size >= BYTES[u]), "B")
    return f"{size} B" if unit == "B" else f"{size / BYTES[unit]:.1f} {unit}"
