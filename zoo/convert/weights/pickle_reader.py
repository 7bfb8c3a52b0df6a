"""Reads torch's pickled files without executing anything that a file may name.

A pickle is a program: it may call whatever it can import. ``torch.load(weights_only=True)`` refuses
all but tensors, and with them the published files of latent diffusion and Stable Diffusion, which
hold callbacks of ``pytorch_lightning`` beside their weights. So a second reader imports nothing:
every global is either one of the few that rebuild tensors and containers, written anew here, or an
inert placeholder that swallows what it is given. Both of torch's formats are read: the zip archive
and the older sequence of pickles.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from zoo.convert.weights.inert import Inert, placeholder, plain
from zoo.convert.weights.pickle_globals import DTYPES, GLOBALS, Storage

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_TORN = (
    zipfile.BadZipFile, EOFError, OSError, struct.error, IndexError, KeyError, TypeError,
    AttributeError, UnicodeDecodeError, pickle.UnpicklingError, RuntimeError, OverflowError,
    MemoryError, RecursionError, NotImplementedError, ImportError, AssertionError,
)  # fmt: skip


def read_pickle(path: str | Path) -> Any:
    """What a ``.pt``, ``.ckpt`` or ``.pth`` file holds: tensors on the CPU and plain containers.

    Whatever is neither (callbacks, configs, functions) is left out; nothing of it is imported.

    Raises:
        ValueError: the file is torn, is no file of torch's, or lies about its tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        return plain(torch.load(path, map_location="cpu", weights_only=True))
    except Exception:  # refused, foreign or torn: the reader below tells which
        pass
    try:
        with open(path, "rb") as file:
            if zipfile.is_zipfile(file):
                found = _read_archive(file)
            else:
                file.seek(0)
                found = _read_sequence(file, path.stat().st_size)
        return plain(found)
    except (*_TORN, ValueError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: torn, or not a file that torch wrote: {said}") from None


class _Unpickler(pickle.Unpickler):
    """Imports nothing: globals come from a table or are placeholders."""

    def __init__(self, file: BinaryIO, storage: Callable[..., Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage
        self._placeholders: dict[tuple[str, str], type[Inert]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in DTYPES:
            return DTYPES[name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if (module, name) in GLOBALS:
            return GLOBALS[module, name]
        return self._placeholders.setdefault((module, name), placeholder())

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] not in ("storage", b"storage"):
            raise pickle.UnpicklingError("a persistent id that is no storage's")
        _, dtype, key, _, count, *view = pid
        if not isinstance(dtype, torch.dtype) or not isinstance(count, int) or count < 0:
            raise pickle.UnpicklingError(f"storage {str(key)[:40]!r} is not described as one")
        found = self._storage(str(key), dtype, count)
        if view and view[0] is not None:  # a part of a storage, in files before torch 0.4
            _, offset, length = view[0]
            if not 0 <= offset <= offset + length <= count:
                raise pickle.UnpicklingError(f"a view of storage {key!r} reaches beyond it")
            size = dtype.itemsize
            return Storage(found.bytes[offset * size : (offset + length) * size], dtype)
        return found


def _read_archive(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        pickles = [name for name in names if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            packed = [name for name in names if name.endswith((".ckpt", ".pt", ".pth"))]
            hint = f"; unpack {packed[0]} first" if packed else ""
            raise ValueError(f"the archive is not one of torch's{hint}")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in names:
            raise ValueError("a TorchScript archive, which is a program: take the state dict")
        order = f"{root}byteorder"
        if order in names and archive.read(order) != b"little":
            raise ValueError("the archive's numbers are big-endian, which are not read")
        cache: dict[str, Tensor] = {}

        def storage(key: str, dtype: torch.dtype, count: int) -> Storage:
            size = count * dtype.itemsize
            if key not in cache:
                info = archive.getinfo(f"{root}data/{key}")
                if info.compress_type != zipfile.ZIP_STORED:  # torch's are not; bombs are
                    raise ValueError(f"storage {key!r} is compressed")
                cache[key] = _bytes(archive.read(info))  # checks the CRC
            if len(cache[key]) < size:
                raise ValueError(f"storage {key!r} has {len(cache[key])} bytes, not {size}")
            return Storage(cache[key][:size], dtype)

        with archive.open(pickles[0]) as data:
            return _Unpickler(data, storage).load()  # type: ignore[arg-type]


def _read_sequence(file: BinaryIO, size: int) -> Any:
    """Torch's format before 1.6: pickles one after another, then the storages."""

    def none(key: str, dtype: torch.dtype, count: int) -> Storage:
        raise pickle.UnpicklingError("a storage before the weights")

    if _Unpickler(file, none).load() != _LEGACY_MAGIC:
        raise ValueError("it begins like none of torch's files")
    _Unpickler(file, none).load()  # the protocol's number
    system = _Unpickler(file, none).load()
    if isinstance(system, dict) and not system.get("little_endian", True):
        raise ValueError("the file's numbers are big-endian, which are not read")
    found: dict[str, Storage] = {}
    claimed = 0

    def storage(key: str, dtype: torch.dtype, count: int) -> Storage:
        nonlocal claimed
        if key not in found:
            claimed += count * dtype.itemsize
            if claimed > size:
                raise ValueError(f"its storages would be larger than the file ({size} bytes)")
            found[key] = Storage(torch.zeros(count * dtype.itemsize, dtype=torch.uint8), dtype)
        elif count * dtype.itemsize > len(found[key].bytes):
            raise ValueError(f"storage {key!r} is described twice, and differently")
        return Storage(found[key].bytes[: count * dtype.itemsize], dtype)

    result = _Unpickler(file, storage).load()
    for key in _Unpickler(file, none).load():
        target = found[str(key)]
        (count,) = struct.unpack("<q", _exactly(file, 8))
        if count * target.dtype.itemsize != len(target.bytes):
            raise ValueError(f"storage {key!r} has {count} numbers, and was described otherwise")
        target.bytes.copy_(_bytes(_exactly(file, len(target.bytes))))
    return result


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError("the file ends within a storage")
    return data


def _bytes(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.zeros(0).byte()
