"""Shards wherever fsspec opens them: names out of patterns, ranges of bytes, retries."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from zoo import paths

TRIES = 4
"""How often a range is asked for before its shard is given up."""
_WAIT = 0.5  # seconds before the second try, doubled before each further one
_LASTING = (
    FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError, ValueError,
    TypeError, ImportError,
)  # fmt: skip
_VERSIONS = (
    "ETag", "etag", "Content-MD5", "md5Hash", "generation", "LastModified", "Last-Modified",
    "last_modified", "mtime", "updated", "created",
)  # fmt: skip


@dataclass(frozen=True)
class ShardFile:
    """One shard.

    Attributes:
        path: the file or address, for a user.
        name: within its set, the same wherever the set lies.
        size: in bytes.
        version: changes with the content: the time of the last change, or what a store says.
        local: whether it is a file of this machine.
        open_range: gives the bytes from one place to another.
    """

    path: str
    name: str
    size: int
    version: str
    local: bool
    open_range: Callable[[int, int], bytes]

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop), asked for again where a network fails.

        Raises:
            ValueError: they cannot be had; the shard is named.
        """
        tries = 1 if self.local else TRIES
        for number in range(1, tries + 1):
            try:
                content = self.open_range(start, stop)
                if len(content) != stop - start:
                    raise OSError(
                        f"got {len(content):,} bytes where {stop - start:,} were asked for: it was "
                        "cut off, or its server knows no ranges"
                    )
                return content
            except Exception as error:  # stores raise their own errors
                reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                if number == tries or isinstance(error, _LASTING):
                    after = f" after {number} tries" if number > 1 else ""
                    raise ValueError(f"{self.path} cannot be read{after} ({reason})") from error
                again = f"trying again ({number + 1} of {tries})"
                print(f"{self.path}: {reason}; {again}", file=sys.stderr, flush=True)
                time.sleep(_WAIT * 2 ** (number - 1))
        raise AssertionError("unreachable")


def shard_files(patterns: str | Sequence[str], what: str = "shard") -> list[ShardFile]:
    """The shards that paths, addresses or patterns of them stand for, in order.

    Braces (``{000..127}``, ``{a,b}``) are written out in their order, and each must match; the
    matches of a glob are sorted. Local paths are looked for here, then below ``ZOO_DATA``.

    Args:
        patterns: one, or several.
        what: the files are, for messages.

    Raises:
        ValueError: one matches nothing, is there twice, or its protocol needs a package that is not
            installed.
    """
    found: list[tuple[str, int, str, Callable[[int, int], bytes] | None]] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for name in paths.braces(pattern):
            found += _remote(name, what) if paths.is_address(name) else _local(name, what)
    places = [path for path, *_ in found]
    twice = next((path for path in places if places.count(path) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is there twice: every {what} counts once")
    return [
        ShardFile(path, name, size, version, read is None, read or _ranges_of(path))
        for (path, size, version, read), name in zip(found, _names(places), strict=True)
    ]


def _names(places: Sequence[str]) -> list[str]:
    """The shards' file names, with as many folders as it takes to tell them apart."""
    parts = [PurePosixPath(urlsplit(p).path if "://" in p else Path(p).as_posix()).parts
             for p in places]  # fmt: skip
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(places)


def _local(name: str, what: str) -> list[Any]:
    def matches(path: Path) -> bool:
        return path.is_file() or (has_magic(str(path)) and bool(glob(str(path), recursive=True)))

    path = paths.data(name, what, matches)
    files = [str(path)] if path.is_file() else sorted(glob(str(path), recursive=True))
    states = [(file, os.stat(file)) for file in files if os.path.isfile(file)]
    if not states:
        raise ValueError(f"no such {what}: {name} matches folders only")
    return [(file, state.st_size, str(state.st_mtime_ns), None) for file, state in states]


def _ranges_of(path: str) -> Callable[[int, int], bytes]:
    def read(start: int, stop: int) -> bytes:
        with open(path, "rb", buffering=0) as file:
            parts = []
            while start < stop and (part := os.pread(file.fileno(), stop - start, start)):
                parts.append(part)
                start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    return read


def _remote(address: str, what: str) -> list[Any]:
    store, path = _filesystem(address)
    try:
        found = sorted(store.glob(path)) if has_magic(path) else [path]
        infos = [(each, store.info(each)) for each in found]
    except Exception as error:  # stores raise their own errors
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ValueError(f"no such {what}: {address} cannot be opened ({reason})") from error
    if not infos:
        raise ValueError(f"no such {what}: {address} matches nothing")
    shards = []
    for each, info in infos:
        whole = str(store.unstrip_protocol(each))
        if info.get("size") is None:
            raise ValueError(f"{whole}: its server does not say how large it is, so parts of it "
                             "cannot be read")  # fmt: skip
        version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
        shards.append((whole, int(info["size"]), version, _store_ranges(store, each)))
    return shards


def _store_ranges(store: Any, path: str) -> Callable[[int, int], bytes]:
    return lambda start, stop: bytes(store.cat_file(path, start=start, end=stop))


def _filesystem(address: str) -> tuple[Any, str]:
    """The store of an address, and the path in it.

    Raises:
        ValueError: there is no such protocol, or its package is not installed.
    """
    import fsspec
    from fsspec.registry import known_implementations

    protocol = address.split("://")[0].split("::")[-1]
    try:
        store, path = fsspec.core.url_to_fs(address)
        return store, path
    except ImportError as error:
        home = known_implementations.get(protocol, {}).get("class", "").partition(".")[0]
        package = home if home not in ("", "fsspec") else error.name or "fsspec[full]"
        raise ValueError(
            f"{address}: {protocol}:// needs a package that is not installed: pip install {package}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{address}: {error}") from error


class Blocks(io.RawIOBase):
    """A shard as a file that is read in blocks, forwards; what is skipped is not read.

    Args:
        file: the shard.
        size: bytes that are read at least, kept for what follows; 0 reads what is asked for.
    """

    def __init__(self, file: ShardFile, size: int = 0) -> None:
        self._file, self._size = file, size
        self._place, self._start, self._block = 0, 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._file.size}[whence]
        self._place = base + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        start = self._place
        stop = self._file.size if size < 0 else min(start + size, self._file.size)
        if stop <= start:
            return b""
        if start < self._start or stop > self._start + len(self._block):
            last = min(max(stop, start + self._size), self._file.size)
            self._start, self._block = start, self._file.read(start, last)
        self._place = stop
        return self._block[start - self._start : stop - self._start]
