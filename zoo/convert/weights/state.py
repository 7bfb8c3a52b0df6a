"""A checkpoint's state dict, and the note on where in the checkpoint it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeGuard

import torch
from torch import Tensor

_KINDS = {
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.uint8,
    torch.int8, torch.int16, torch.int32, torch.int64,
}  # fmt: skip
COUNTERS = {"n_averaged", "initted", "step", "decay", "num_updates", "optimization_step"}
"""Entries of averages that are no weights."""


class Weights(dict[str, Tensor]):
    """A state dict that was taken from a checkpoint.

    Attributes:
        choice: "ema" for averages, "raw" for the last ones.
        origin: which of the checkpoint's weights these are, for the provenance and the terminal.
    """

    def __init__(self, state: Mapping[str, Tensor], choice: str, origin: dict[str, str]) -> None:
        super().__init__(state)
        self.choice, self.origin = choice, origin


def is_state(value: object) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether a value is a state dict: names to tensors, with counters of averages at most."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    tensors = {key for key, entry in value.items() if isinstance(entry, Tensor)}
    return bool(tensors - COUNTERS) and value.keys() - tensors <= COUNTERS


def check_tensors(state: Mapping[str, Tensor], what: str) -> None:
    """Refuses tensors that hold no plain numbers.

    Args:
        state: names to tensors.
        what: begins the message: the file, or what is converted.

    Raises:
        ValueError: a tensor is sparse, quantised, complex, of eight-bit floats, without numbers (on
            the meta device), or larger than the memory behind it.
    """
    for problem in _problems(state):
        raise ValueError(f"{what}: {problem}")


def _problems(state: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in state.items():
        if tensor.device.type == "meta":
            yield f"'{name}' has a shape and no numbers (it was saved on the meta device)"
        elif tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
            yield f"'{name}' is sparse, quantised or nested: save it as a dense tensor"
        elif tensor.dtype not in _KINDS:
            yield (
                f"'{name}' is {tensor.dtype}: possible are float32, float16, bfloat16, float64 "
                "and integers"
            )
        elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            yield f"'{name}' is {tuple(tensor.shape)}, more than the file holds of it"
