"""What a process uses of the machine: its peak memory, and energy where a counter is readable."""

from __future__ import annotations

import importlib
import resource
import sys
from pathlib import Path
from typing import Any

import torch

_RAPL = Path("/sys/class/powercap")


def peak_memory(device: torch.device) -> int:
    """Bytes at most since the process began: a GPU's allocations, else of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Energy:
    """The joules that a device has used since this was made, by its own counter.

    A GPU's is NVML's (package ``nvidia-ml-py``); a CPU's is that of all its packages, whatever
    process uses them (Linux's powercap, which root alone may read on most machines).

    Attributes:
        source: the counter's name, or None where there is none.
    """

    def __init__(self, device: torch.device) -> None:
        self._counters: list[_Counter] = []
        self.source: str | None = None
        if device.type == "cuda":
            self._counters = _nvml(device)
        elif device.type == "cpu":
            self._counters = [_Rapl(folder) for folder in sorted(_RAPL.glob("*-rapl:?"))]
        try:
            for counter in self._counters:
                counter.advance()
        except (OSError, ValueError):  # not readable
            self._counters = []
        if self._counters:
            self.source = "NVML" if device.type == "cuda" else "RAPL"

    def joules(self) -> float | None:
        """Since this was made; a counter that wraps, after minutes, has to be asked before."""
        if self.source is None:
            return None
        return sum(counter.advance() for counter in self._counters)


class _Counter:
    """A counter that only grows, and its growth since the first look."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._sum = 0.0

    def read(self) -> float:
        """Joules since some time in the past."""
        raise NotImplementedError

    def range(self) -> float:
        """Where it begins again at 0."""
        return 0.0

    def advance(self) -> float:
        """Joules since the first call."""
        now = self.read()
        if self._last is not None:
            self._sum += now - self._last + (self.range() if now < self._last else 0.0)
        self._last = now
        return self._sum


class _Rapl(_Counter):
    """One package's counter below /sys/class/powercap."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def read(self) -> float:
        return int((self._folder / "energy_uj").read_text()) / 1e6

    def range(self) -> float:
        return int((self._folder / "max_energy_range_uj").read_text()) / 1e6


class _Nvml(_Counter):
    """A GPU's counter since its driver was loaded."""

    def __init__(self, library: Any, handle: Any) -> None:
        super().__init__()
        self._library, self._handle = library, handle

    def read(self) -> float:
        return self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3


def _nvml(device: torch.device) -> list[_Counter]:
    """The counter of a CUDA device; none without NVML's package, or before Volta."""
    try:
        library: Any = importlib.import_module("pynvml")
    except ImportError:
        return []
    try:
        library.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        counter = _Nvml(library, library.nvmlDeviceGetHandleByUUID(uuid))
        counter.read()
    except library.NVMLError:
        return []
    return [counter]
