"""Modules without memory: what a config describes is compared with a file before it is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import nn

M = TypeVar("M")

_SPARE, _RATIO = 2000, 20  # layers that are not saved, and layers for each stored tensor


def outline(make: Callable[[], M], num_tensors: int) -> M:
    """What ``make`` builds, on the meta device: shapes without numbers, of any size.

    Args:
        make: builds a module, or something that holds one.
        num_tensors: of the file that has its weights; far more layers than that are not built.

    Raises:
        ValueError: there are far more layers than tensors.
    """
    import torch
    from torch.nn.modules import module as hooks

    most, count = _SPARE + _RATIO * num_tensors, 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise ValueError(
                f"the weights do not fit the config: it describes more than {most:,} layers and "
                f"parameters, the file has {num_tensors:,} tensors"
            )

    handles = [
        hooks.register_module_module_registration_hook(counted),
        hooks.register_module_parameter_registration_hook(counted),
    ]
    try:
        with torch.device("meta"):
            return make()
    finally:
        for handle in handles:
            handle.remove()


def materialised(module: nn.Module) -> None:
    """Gives a module that ``outline`` built memory on the CPU, whose numbers are arbitrary."""
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        module.to_empty(device="cpu")
