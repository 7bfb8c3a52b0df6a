"""The device and the precision that ``auto`` stands for on this machine."""

from __future__ import annotations

import functools
import platform
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

_BF16_FLAGS = ("amx_bf16", "avx512_bf16")  # without them a CPU emulates bf16, slower than float32


def accelerator(name: str = "auto") -> str:
    """Lightning's name of the device to use: "gpu", "mps" or "cpu"; or one GPU's own, "cuda:1".

    Raises:
        ValueError: this machine lacks the device.
    """
    gpu, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    devices = {"gpu": gpu, "mps": mps, "cpu": True}
    if name == "auto":
        return next(device for device, present in devices.items() if present)
    choice, name = name, {"cuda": "gpu"}.get(name, name)
    if not devices.get(name, True):  # others (tpu, ...) are Lightning's business
        raise ValueError(
            f"accelerator={choice}, but torch {torch.__version__} finds no such device here: "
            "use auto or cpu"
        )
    return name


def precision(name: str | int, device: str) -> str | int:
    """Lightning's precision: for "auto", ``bf16-mixed`` where ``device`` computes in bf16.

    Args:
        name: "auto", or a precision, which is returned as it is.
        device: as ``accelerator`` names it.
    """
    if name != "auto":
        return name
    if device == "cpu":
        has_bf16 = _cpu_has_bf16()
    else:
        has_bf16 = torch_device(device).type == "cuda" and _gpu_has_bf16()
    return "bf16-mixed" if has_bf16 else "32-true"


def slow_precision(name: str | int, device: str) -> str | None:
    """A line on a precision that this device only emulates, or None.

    Args:
        name: a precision, "auto" among them, which never is one.
        device: as ``accelerator`` names it.
    """
    if device != "cpu" or not str(name).startswith("bf16") or _cpu_has_bf16():
        return None
    return (
        f"precision={name} on a CPU without AMX or AVX512-BF16 is emulated, some 35 times slower "
        "than 32-true"
    )


def device_name(device: str) -> str:
    """The device in words, such as "NVIDIA H200" or "Intel(R) Xeon(R) Processor, 2 cores"."""
    if torch_device(device).type == "cuda":
        return torch.cuda.get_device_name(torch_device(device))
    if device == "mps":
        return f"Apple {platform.machine()} GPU"
    model = _cpu_info("model name") or platform.processor() or platform.machine()
    return f"{model}, {torch.get_num_threads()} threads"


def _gpu_has_bf16() -> bool:
    # not torch.cuda.is_bf16_supported() alone: it says yes where bf16 is emulated (before Ampere)
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_has_bf16() -> bool:
    flags = (_cpu_info("flags") or "").split()
    return any(flag in flags for flag in _BF16_FLAGS)


@functools.cache
def _cpu_info(field: str) -> str | None:
    """The first processor's ``field`` in Linux's /proc/cpuinfo; None elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), None)


def torch_device(device: str) -> torch.device:
    """torch's name of Lightning's device."""
    return torch.device({"gpu": "cuda"}.get(device, device))


def autocast(name: str, device: str) -> AbstractContextManager[Any]:
    """A precision outside a trainer: autocast for ``bf16-mixed``, nothing for 32 bits.

    Raises:
        ValueError: another precision.
    """
    setting = str(precision(name, device))
    if line := slow_precision(name, device):
        print(line, file=sys.stderr)
    if setting == "bf16-mixed":
        return torch.autocast(torch_device(device).type, torch.bfloat16)
    if setting in ("32-true", "32"):
        return nullcontext()
    raise ValueError(f"precision is auto, bf16-mixed or 32-true here, got {name}")
