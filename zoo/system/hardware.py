"""Names of devices, checked without torch, whose import takes longer than the answer."""

from __future__ import annotations

import ctypes
import functools
import re
from importlib import metadata

_NAMES = ("auto", "cpu", "gpu", "cuda", "mps")


def check_device(name: str) -> str:
    """Passes ``auto``, ``cpu``, ``gpu``, ``cuda``, ``mps`` or ``cuda:N``, where it exists here.

    Raises:
        ValueError: there is no such device, or this machine lacks it.
    """
    number = re.fullmatch(r"(?:cuda|gpu):(\d+)", name)
    if number is None and name not in _NAMES:
        raise ValueError(f"{name}: no such device; possible are {', '.join(_NAMES)}, cuda:N")
    if name in ("auto", "cpu", "mps") or (count := cuda_devices()) is None:
        return name
    if count == 0:
        raise ValueError(f"{name}: this machine has no CUDA device: use auto or cpu")
    if number is not None and int(number.group(1)) >= count:
        raise ValueError(f"{name}: the CUDA devices here are cuda:0 to cuda:{count - 1}")
    return name


@functools.cache
def cuda_devices() -> int | None:
    """How many CUDA devices the driver shows this process; None where it cannot be asked."""
    if "rocm" in metadata.version("torch"):  # AMD's driver has another library
        return None
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
