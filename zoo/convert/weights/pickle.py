"""Reads torch's pickled files without executing anything that a file may name.

A pickle is a program: it may call whatever it can import. ``torch.load(weights_only=True)`` calls
only what rebuilds tensors, and refuses the published files of latent diffusion and Stable
Diffusion, which hold callbacks of ``pytorch_lightning`` beside their weights. Here every other name
in a file stands for a placeholder that takes what a pickle hands it and keeps none of it.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch._weights_only_unpickler as restricted  # lists the names in files before torch 1.6
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_SNAPSHOT = b"_reconstruct_persistent_obj"
_UNDER_WAY = object()


def read_pickle(path: str | Path) -> object:
    """The tensors, on the CPU, and plain containers in a ``.pt``, ``.ckpt`` or ``.pth`` file.

    Whatever is neither (callbacks, configs, functions) is left out; nothing of it is imported.
    Dicts and numpy's numbers are read as Python's own, lists and tuples as lists.

    Raises:
        ValueError: the file is torn, is no file of torch's, lies about its tensors, or is a program
            of other instructions than weights need.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {'not a' if path.exists() else 'no such'} file")
    try:
        _refuse_network_snapshot(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions of pickle, which fail below
            names = _archive_names(path) if zipfile.is_zipfile(path) else _legacy_names(path)
            with safe_globals([(_stand_in(name), name) for name in names]):
                return _plain(torch.load(path, map_location="cpu", weights_only=True), {})
    except Exception as error:  # a broken file can raise anything
        raise ValueError(f"{path}: torn, or not a file that torch wrote: {_line(error)}") from None


def _refuse_network_snapshot(path: Path) -> None:
    """Names what EDM and StyleGAN publish: a pickle that holds the network's source code."""
    with open(path, "rb") as file:
        if _SNAPSHOT in file.read(2**20):
            raise ValueError(
                "a network snapshot of EDM or StyleGAN (network-snapshot.pkl), which is a program "
                "that holds its network's source; there is no counterpart of these networks here"
            )


def _archive_names(path: Path) -> list[str]:
    """The names in an archive that torch does not know."""
    with zipfile.ZipFile(path) as archive:
        files = archive.namelist()
        if not any(Path(file).name == "data.pkl" for file in files):
            packed = [file for file in files if file.endswith((".ckpt", ".pt", ".pth"))]
            hint = f"; unpack {packed[0]} first" if packed else ""
            raise ValueError(f"the archive is not one of torch's{hint}")
        if any(Path(file).name == "constants.pkl" for file in files):
            raise ValueError("a TorchScript archive, which is a program: take the state dict")
        entries = archive.infolist()  # before torch unpacks them into memory
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("the archive is compressed, which torch's are not")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("the archive claims to hold more than its own size")
        names = get_unsafe_globals_in_checkpoint(path)
        if names and (damaged := archive.testzip()):  # torch does not look at checksums
            raise ValueError(f"'{damaged}' in the archive is damaged")
    return names


def _legacy_names(path: Path) -> set[str]:
    """The names in a file of the format before torch 1.6: pickles one after another, storages."""
    with open(path, "rb") as file:
        *_, system = (restricted.load(file, encoding="utf-8") for _ in range(3))
        if not system.get("little_endian", True):
            raise ValueError("the file's numbers are big-endian, which are not read")
        return restricted.get_globals_in_pkl(file)


class _Inert:
    """Stands for every other name: takes all arguments and any state, and keeps none of it."""

    def __new__(cls, *args: object, **kwargs: object) -> _Inert:
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None: ...


class _Dict:
    """Stands for subclasses of dict, because torch sets items of its own three kinds alone."""

    def __new__(cls, *args: object, **kwargs: object) -> OrderedDict[object, object]:  # type: ignore[misc]
        return OrderedDict()


class _List:
    """Stands for a deque, because torch appends to lists alone."""

    def __new__(cls, *args: object, **kwargs: object) -> list[object]:  # type: ignore[misc]
        return []


class _NumpyType:
    """The description of a pickled numpy dtype; its byte order follows by ``__setstate__``.

    numpy's own classes, if allowed, would build any object that a file describes.
    """

    def __init__(self, code: object = "", *_: object) -> None:
        self.code: object = code
        self.order: object = "<"

    def __setstate__(self, state: Sequence[object]) -> None:
        self.order = state[1]


def _numpy_scalar(dtype: object, data: bytes | str = b"") -> object:
    """A numpy number as Python's own; a placeholder for anything else."""
    kind = f"{dtype.order}{dtype.code}" if isinstance(dtype, _NumpyType) else ""
    if not re.fullmatch(r"[<>=|]([fiu][1248]|b1)", kind):
        return _Inert()
    encoded = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(encoded, dtype=kind, count=1)[0].item()


_KNOWN: dict[str, Callable[..., object]] = {
    "builtins.frozenset": frozenset,
    "collections.deque": _List,
    "numpy.dtype": _NumpyType,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
}


def _stand_in(name: str) -> Callable[..., object]:
    """The object that stands for a name in a file."""
    return _KNOWN.get(name, _Dict if name.lower().endswith("dict") else _Inert)


def _plain(value: object, copies: dict[int, object]) -> object:
    """``value`` with tensors, numbers and texts in dicts, lists and sets, and no more.

    Entries of dicts whose key or value is something else are left out; in lists None stands for it.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, _PLAIN):
        return value
    if not isinstance(value, dict | list | tuple | set | frozenset):
        return None
    if copies.setdefault(id(value), None) is _UNDER_WAY:
        raise ValueError("containers that contain themselves")
    if copies[id(value)] is None:
        copies[id(value)] = _UNDER_WAY
        copies[id(value)] = _container(value, copies)
    return copies[id(value)]


def _container(value: Iterable[object], copies: dict[int, object]) -> object:
    if isinstance(value, dict):
        entries = ((k, v, _plain(v, copies)) for k, v in value.items() if isinstance(k, _PLAIN))
        return {key: plain for key, item, plain in entries if plain is not None or item is None}
    if isinstance(value, set | frozenset):
        return {item for item in value if isinstance(item, _PLAIN)}
    return [_plain(item, copies) for item in value]


def _line(error: Exception) -> str:
    """The problem in one line; torch's own text also advises to execute the file."""
    refused = isinstance(error, pickle.UnpicklingError)
    cause = (refused and error.__context__) or error
    text = " ".join(str(cause).split()).split(". ")[0].rstrip(".") or type(error).__name__
    if not refused or text.endswith("blocked"):  # torn, or hostile
        return text
    return f"{text}; where you trust it, load it yourself and save its state dict by torch.save"
