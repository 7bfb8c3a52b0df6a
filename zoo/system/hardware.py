"""Names of devices, checked without torch, whose import takes longer than the answer."""

from __future__ import annotations

import ctypes
import functools
import os
import re
from importlib import metadata

_NAMES = ("auto", "cpu", "gpu", "cuda", "mps")


def check_device(name: str) -> str:
    """Passes ``auto``, ``cpu``, ``gpu``, ``cuda``, ``mps`` or ``cuda:N``, where it exists here.

    Raises:
        ValueError: there is no such device, or this machine lacks it.
    """
    number = re.fullmatch(r"cuda:(\d+)", name)
    if number is None and name not in _NAMES:
        raise ValueError(f"{name}: no such device; possible are {', '.join(_NAMES)}, cuda:N")
    if name in ("auto", "cpu", "mps") or (count := cuda_devices()) is None:
        return name
    if count == 0:
        raise ValueError(f"{name}: this machine has no CUDA device: use auto or cpu")
    if number is not None and int(number.group(1)) >= count:
        raise ValueError(f"{name}: the CUDA devices here are cuda:0 to cuda:{count - 1}")
    return name


def check_accelerator(name: str) -> str:
    """Passes a kind of device for trainings: ``check_device`` without numbers.

    Raises:
        ValueError: as there; or it is one device, which is none of Lightning's kinds.
    """
    if ":" in name:
        raise ValueError(f"{name}: a kind of device; possible are {', '.join(_NAMES)}")
    return check_device(name)


def check_processes(count: int) -> int:
    """Passes how many processes train or generate at once, up to four for each core.

    Raises:
        ValueError: there would be more, and nothing else would run on this machine.
    """
    cores = os.cpu_count() or 1
    if count > max(4 * cores, cuda_devices() or 0):
        raise ValueError(f"this machine has {cores} cores: at most {4 * cores} processes")
    return count


STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")
"""Lightning's engines for several processes that a training may name."""

_SHARDED = re.compile(r"fsdp|deepspeed|model_?parallel|sharded|zero|colossal|tensor_?parallel")


def check_strategy(name: str) -> str:
    """Passes an engine for several processes whose results are those of one.

    Raises:
        ValueError: another engine, with what to use in its place.
    """
    if name not in STRATEGIES:
        raise ValueError(not_offered(name) or f"possible are {', '.join(STRATEGIES)}")
    return name


def not_offered(name: str) -> str | None:
    """Why there is no such engine here, though Lightning has it; None for other names."""
    if _SHARDED.search(name.lower()):
        return (
            "weights, moments and averages are whole in every process, 26 bytes a parameter: use "
            "ddp, and where memory is short trainer.accumulate_grad_batches=N or "
            "++model.denoiser.gradient_checkpointing=true"
        )
    if re.match(r"ddp_(spawn|fork|notebook)|dp$", name):
        return "processes are started by the zoo itself, by torchrun or by srun: use ddp"
    return None


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
