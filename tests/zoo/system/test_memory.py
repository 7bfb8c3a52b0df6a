"""Out of memory names the batch and what to change; slow precisions are told."""

import pytest
import torch

from zoo.system import device
from zoo.system.device import slow_precision
from zoo.system.errors import explain, out_of_memory

TRAIN = {"trainer": {}, "data.batch_size": 128, "trainer.accumulate_grad_batches": 2}
HALF = "data.batch_size=64 trainer.accumulate_grad_batches=4 (the same step in more parts)"
CHECKPOINTING = "++model.denoiser.gradient_checkpointing=true"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ..."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't "
                     "allocate memory: you tried to allocate 4000000000000 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError("Unable to allocate 8.00 EiB for an array"),
    ],
    ids=["cuda", "cpu", "windows", "mps", "cublas", "numpy"],
)  # fmt: skip
def test_every_kind_of_out_of_memory_names_batch_and_remedy(error):
    line = out_of_memory(error, {**TRAIN, "model.denoiser": {}}.get)
    assert line.startswith("not enough memory: ") and "\n" not in line
    assert "a step takes data.batch_size=128 images" in line
    assert line.endswith(f"try {HALF}, or {CHECKPOINTING}")
    assert out_of_memory(error, TRAIN.get).endswith(f"try {HALF}")
    drawn = out_of_memory(error, {"batch_size": 64}.get)
    assert drawn.endswith("batch_size=64 at a time: try batch_size=32 (the results are the same)")
    one = {"trainer": {}, "data.batch_size": 1, "model.denoiser": {}}
    assert out_of_memory(error, one.get).endswith(f"try {CHECKPOINTING}")
    assert explain(error, list).startswith("not enough memory: ")


def test_other_errors_are_not_taken_for_it():
    assert out_of_memory(RuntimeError("shapes differ"), TRAIN.get) is None


@pytest.mark.parametrize(
    ("name", "kind", "bf16", "told"),
    [
        ("bf16-mixed", "cpu", False, True),
        ("bf16-true", "cpu", False, True),
        ("bf16-mixed", "cpu", True, False),
        ("bf16-mixed", "gpu", False, False),
        ("32-true", "cpu", False, False),
        (32, "cpu", False, False),
        ("auto", "cpu", False, False),
    ],
)
def test_emulated_bf16_is_told(monkeypatch, name, kind, bf16, told):
    monkeypatch.setattr(device, "_cpu_has_bf16", lambda: bf16)
    line = slow_precision(name, kind)
    assert (line is not None) == told
    assert not told or f"precision={name} on a CPU without AMX" in line
