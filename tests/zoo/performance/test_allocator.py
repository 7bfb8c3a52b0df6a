from __future__ import annotations

import subprocess
import sys

import pytest

from zoo.performance import allocator

PROGRAM = """
import ctypes, resource
from zoo.performance.allocator import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
def step():  # a network's activations are in use together, then free
    blocks = [library.malloc(ctypes.c_size_t(4 << 20)) for _ in range(16)]
    for block in blocks:
        ctypes.memset(block, 1, 4 << 20)
    for block in blocks:
        library.free(ctypes.c_void_p(block))
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not allocator._is_glibc(), reason="glibc's own settings")
def test_a_step_gets_its_memory_without_new_pages(monkeypatch):
    for name in allocator._OWN:
        monkeypatch.delenv(name, raising=False)
    faults = [
        int(subprocess.check_output([sys.executable, "-c", PROGRAM.format(keep=keep)], text=True))
        for keep in (False, True)
    ]
    assert faults[1] < 100 < 16_000 < faults[0]  # 64 MiB are 16,384 pages, four times


@pytest.mark.parametrize("name", allocator._OWN)
def test_a_users_own_settings_stay(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert not allocator.keep_freed_memory()


def test_another_library_is_left_alone(monkeypatch):
    def unknown(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr("os.confstr", unknown)
    assert not allocator.keep_freed_memory()
