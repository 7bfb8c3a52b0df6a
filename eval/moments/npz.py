"""The arrays of a published statistics file (``.npz``), and what such a file holds instead.

pytorch-fid, clean-fid and EDM publish ``mu`` (D,) and ``sigma`` (D, D). ADM's evaluator adds those
of spatial features, ``mu_s`` and ``sigma_s``, beside reference images in ``arr_0``, which may be
gigabytes: only the arrays that are needed are read.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO
from zipfile import ZIP_STORED, BadZipFile, ZipFile
from zlib import error as ZlibError

import numpy as np

SUFFIXES = {"pool": "", "spatial": "_s"}
"""Of the arrays' names, by feature."""

_BROKEN = (OSError, ValueError, EOFError, KeyError, AttributeError, BadZipFile, ZlibError)


def read_moments(path: str | Path, feature: str = "pool") -> dict[str, np.ndarray]:
    """``mu`` and ``sigma`` of a feature, and ``count`` and ``centred`` where the file has them.

    Args:
        path: of the npz.
        feature: "pool" or "spatial".

    Raises:
        ValueError: the file is missing, torn or no npz, or lacks these arrays; the message says
            what it holds.
    """
    if feature not in SUFFIXES:
        names = " and ".join(SUFFIXES)
        raise ValueError(f"statistics files have {names} features, not '{feature}'")
    suffix = SUFFIXES[feature]
    mu, sigma = f"mu{suffix}", f"sigma{suffix}"
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            present = set(file.files)
            if not {mu, sigma} <= present:
                raise _OtherArrays
            members = {"mu": mu, "sigma": sigma, "count": "count", "centred": f"centred{suffix}"}
            return {key: np.asarray(file[name]) for key, name in members.items() if name in present}
    except FileNotFoundError:
        raise ValueError(f"{path}: no such statistics file") from None
    except _OtherArrays:
        raise ValueError(f"{path}: {_instead(path, mu, sigma)}") from None
    except _BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{path}: not an npz file of statistics, or torn ({reason}): fetch or make it again"
        ) from error


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz file's content, as ``np.savez`` writes it."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def npz_names(path: Path) -> list[str]:
    """The names of an npz file's arrays.

    Raises:
        ValueError: it is missing or no npz.
    """
    try:
        with ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path}: not a readable npz ({error})") from error


def mapped_array(path: Path, member: str) -> np.ndarray:
    """An array of an npz, memory-mapped where it is stored uncompressed."""
    with ZipFile(path) as archive:
        info = archive.getinfo(member)
        with archive.open(info) as file:
            shape, fortran, dtype = _header(file)
            header = file.tell()
    if info.compress_type != ZIP_STORED or fortran or dtype.hasobject:
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[member.removesuffix(".npy")])
    with open(path, "rb") as raw:
        raw.seek(info.header_offset + 26)  # the local header's two lengths, which may differ
        name, extra = (int.from_bytes(raw.read(2), "little") for _ in range(2))
    start = info.header_offset + 30 + name + extra + header
    # copy on write: torch takes no read-only array without a warning
    return np.memmap(path, dtype, "c", start, shape)


class _OtherArrays(Exception):
    """A sound npz without the arrays that are needed."""


def _instead(path: str | Path, mu: str, sigma: str) -> str:
    """What the file holds, and what it may be used for."""
    arrays = _shapes(path)
    contents = ", ".join(f"{name} {shape}" for name, shape in arrays.items()) or "nothing"
    text = f"needs arrays {mu} and {sigma}, has {contents}"
    if mu != "mu" and {"mu", "sigma"} <= arrays.keys():
        return f"{text}: these are pooled features alone, which FID reads; sFID needs spatial ones"
    if len(arrays.get("arr_0", ())) == 4:
        return f"{text}: these are images; compare with them as such, or make statistics of them"
    return f"{text}: a file that pytorch-fid, clean-fid, ADM, EDM or `zoo statistics` made has them"


def _shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Each array's shape, from its header alone; () for a header of another version."""
    shapes: dict[str, tuple[int, ...]] = {}
    with ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file, suppress(KeyError):
                shapes[name.removesuffix(".npy")] = ()
                shapes[name.removesuffix(".npy")] = _header(file)[0]
    return shapes


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the order is Fortran's, and dtype; KeyError for another version."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    return readers[version](file)
