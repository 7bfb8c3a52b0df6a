"""The C library's allocator: memory that was freed is kept for the next step."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_NEVER, _LARGEST = 2**31 - 1, 2**30
_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Has glibc keep what is freed; False where that is not done.

    Every step of a network on a CPU frees its activations. By default glibc hands them back to the
    system, which clears each page again when the next step asks for it: 3 to 25 % of the time. A
    process then stays as large as it has been. Another C library, or a user's own settings of the
    allocator, are left alone.
    """
    if not _is_glibc() or any(os.environ.get(name) for name in _OWN):
        return False
    library = ctypes.CDLL(None)
    settings = {_TRIM_THRESHOLD: _NEVER, _MMAP_THRESHOLD: _LARGEST}
    return all(library.mallopt(name, value) for name, value in settings.items())


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError):  # Windows, another library
        return False
