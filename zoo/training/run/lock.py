"""One process at a time in a folder: a lock that dies with its holder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

_POLL = 0.2  # seconds


class FolderLock:
    """A lock on a folder, held by one process, who says in ``.lock`` which it is and since when.

    The kernel gives it up with the process that holds it, however that ends (``flock``; over NFS
    Linux asks the server, so that other machines are held off too). Where a file system knows no
    locks, a line says so, and nothing is held off.

    Args:
        folder: which is made where it is missing.

    Attributes:
        file: of the lock, gone when it is released.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / ".lock"
        self._descriptor: int | None = None
        self._made: list[Path] = []  # folders, the innermost first

    def acquire(self, wait: float = 0.0) -> None:
        """Takes the lock.

        Args:
            wait: for how many seconds a holder may still be leaving.

        Raises:
            ValueError: another process holds it.
        """
        folder, end = self.file.parent, time.monotonic() + wait
        self._made = [p for p in (folder, *folder.parents) if not p.exists()]
        while not self._try():
            if time.monotonic() >= end:
                holder = _holder(self.file)
                raise ValueError(
                    f"{folder} is in use by another training{holder}: wait for its end, or set "
                    "another run_dir"
                )
            time.sleep(_POLL)

    def release(self, folder: Path | None = None) -> None:
        """Gives the lock up, and removes folders that were made for it and are empty still.

        Args:
            folder: where the folder is now, if it was renamed.
        """
        if self._descriptor is None:
            return
        file = self.file if folder is None else folder / self.file.name
        file.unlink(missing_ok=True)  # while it is held: see _try
        os.close(self._descriptor)
        self._descriptor = None
        with contextlib.suppress(OSError):
            for made in self._made:
                made.rmdir()

    def _try(self) -> bool:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(descriptor, self.file) or not _is(descriptor, self.file):
                os.close(descriptor)
                return False
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        os.pwrite(descriptor, json.dumps(who).encode(), 0)
        self._descriptor = descriptor
        return True


def _lock(descriptor: int, file: Path) -> bool:
    """Whether the file is this process's now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter of NFS
        return False
    except OSError as error:
        print(
            f"{file.parent} cannot be locked ({error.strerror}): make sure that no other training "
            "writes into it",
            file=sys.stderr,
        )
    return True


def _is(descriptor: int, file: Path) -> bool:
    """Whether the open file is still the one of that name: its last holder removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False


def _holder(file: Path) -> str:
    try:
        who: dict[str, Any] = json.loads(file.read_bytes())
        return f" (process {who['pid']} on {who['host']} since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it is just being written
        return ""
