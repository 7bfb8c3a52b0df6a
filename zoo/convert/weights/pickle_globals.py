"""The few things that a pickle of torch's may name, written anew: they rebuild and do no more."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.convert.weights.inert import Held, placeholder

DTYPES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}


class Storage(NamedTuple):
    """Bytes of a file, and what numbers they are."""

    bytes: Tensor  # (N,) uint8
    dtype: torch.dtype


class _Allowed:
    """A function that a pickle may call; nothing can be set on it."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a pickle tried to change a function")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a pickle tried to change a function")


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Held:
    """A tensor over a storage, which must hold all of it."""
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor over something that is no storage")
    size, stride = tuple(size), tuple(stride)
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in numbers):
        raise pickle.UnpicklingError(f"a tensor of size {size}, stride {stride}, offset {offset}")
    held = len(storage.bytes) // storage.dtype.itemsize
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= held:
        raise pickle.UnpicklingError(f"a tensor reaches to number {last} of a storage of {held}")
    if 0 in size:
        return Held(torch.empty(size, dtype=storage.dtype))
    return Held(storage.bytes.view(storage.dtype).as_strided(size, stride, offset))


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _encode(text: Any, encoding: Any = "latin1", *_: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("text in an unexpected encoding")
    return text.encode("latin1")


class _NumpyType:
    """What a pickled numpy dtype says of itself; its byte order follows by ``__setstate__``."""

    __slots__ = ("code", "little")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.little = str(code), True

    def __setstate__(self, state: Any) -> None:
        self.little = not (isinstance(state, tuple) and len(state) > 1 and state[1] == ">")


def _numpy_scalar(dtype: Any, data: Any = b"") -> Any:
    """A numpy number as Python's own; a placeholder for what is none."""
    import numpy as np

    codes = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
    if not isinstance(dtype, _NumpyType) or dtype.code not in codes or not dtype.little:
        return placeholder()()
    data = data if isinstance(data, bytes) else _encode(data)
    return np.frombuffer(data, dtype=f"<{dtype.code}", count=1)[0].item()


GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _Allowed(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Allowed(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Allowed(_rebuild_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): _Allowed(_rebuild_parameter),
    ("torch.nn.parameter", "Parameter"): _Allowed(_rebuild_parameter),
    ("torch", "Size"): _Allowed(lambda sizes=(): tuple(sizes)),
    ("torch.serialization", "_get_layout"): _Allowed(lambda name=None: str(name)),
    ("_codecs", "encode"): _Allowed(_encode),
    ("numpy", "dtype"): _Allowed(_NumpyType),
    **{
        (f"numpy.{core}.multiarray", "scalar"): _Allowed(_numpy_scalar)
        for core in ("core", "_core")
    },
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (set, frozenset, complex)
    },
}
