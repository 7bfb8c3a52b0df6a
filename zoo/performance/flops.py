"""What a network costs: floating-point operations and parameters, counted on the live modules."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

_SIDES = {"cpu": 1024, "cuda": 8192}
_REPEATS = 4


def flops(call: Callable[[], object]) -> int:
    """Operations of ``call()`` in convolutions and matrix products.

    Attention runs as plain products meanwhile: torch's counter does not know the CPU's fused kernel
    and would count nothing.

    >>> weight = torch.ones(3, 5)
    >>> flops(lambda: torch.ones(2, 3) @ weight)
    60
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def flops_without_data(module: nn.Module, call: Callable[[], object]) -> int:
    """As ``flops``, but ``module`` has tensors without numbers meanwhile: in no time, no memory.

    ``call`` must make its tensors on torch's device "meta" too.
    """
    tensors = chain(module.named_parameters(), module.named_buffers())
    state = {f"module.{name}": torch.empty_like(v, device="meta") for name, v in tensors}
    with torch.no_grad():
        return flops(lambda: functional_call(_Within(module), state, (call,)))


class _Within(nn.Module):
    """Calls a function while its module's tensors are exchanged."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, call: Callable[[], object]) -> object:
        return call()


def parameters(module: object) -> int:
    """Number of parameters; 0 for a part that is not an ``nn.Module``."""
    if not isinstance(module, nn.Module):
        return 0
    shared: set[Tensor] = set(module.parameters())
    return sum(parameter.numel() for parameter in shared)


@functools.cache
def measured_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of the fastest of some large matrix products, which nothing exceeds."""
    side = _SIDES.get(device.type, 2048)
    a, durations = torch.ones(side, side, device=device, dtype=dtype), []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        (a @ a)[0, 0].item()  # waits for an accelerator
        durations.append(time.perf_counter() - started)
    return 2 * side**3 / min(durations)
