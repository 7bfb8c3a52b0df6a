"""What a public function may be given: one rule for kind, rank, numbers, device and range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor

IMAGES = "images.float() / 127.5 - 1 makes them of 8-bit images"
_EXACT = (torch.float32, torch.float64)
_ROUNDING = 1e-3  # beyond [-1, 1], of values that were computed


def check_floats(
    values: object,
    name: str,
    shape: Sequence[int | None],
    device: torch.device | None = None,
    bounded: bool = False,
    remedy: str = "",
) -> None:
    """Refuses what a network would read without a complaint, and give nonsense for.

    Args:
        values: floats (B, C, H, W).
        name: what the caller calls them.
        shape: the expected one, None where any size fits.
        device: where they must be; anywhere when None.
        bounded: refuse values outside [-1, 1], NaN, and formats too narrow for 8-bit values.
        remedy: how to make them of what is usually given.

    Raises:
        ValueError: no tensor, or of another shape, format or device, or out of range.
    """
    if (
        isinstance(values, Tensor)
        and values.dtype == torch.float32
        and _fits(values.shape, shape)
        and (device is None or device == values.device)
        and not bounded
    ):
        return  # as in every step of a sampler: what follows takes twice as long

    def refuse(got: str, hint: str = "") -> NoReturn:
        bounds = " in [-1, 1]" if bounded else ""
        raise ValueError(f"{name} must be floats {_text(shape)}{bounds}, got {got}{hint}")

    hint = f": {remedy}" if remedy else ""
    if not isinstance(values, Tensor):
        refuse(type(values).__name__)
    if not _fits(values.shape, shape):
        refuse(_format(values))
    if not values.is_floating_point():
        refuse(_format(values), hint)
    if device not in (None, values.device) and values.device.type != device.type:
        raise ValueError(
            f"{name} are on {values.device.type}, the model on {device.type}: move them there"
        )
    if not bounded:
        return
    if values.dtype not in _EXACT:
        raise ValueError(
            f"{name} must be float32 or float64, got {_format(values)}: it rounds 8-bit "
            f"values{hint}"
        )
    if values.numel():
        low, high = (float(value) for value in values.aminmax())
        if not -1 - _ROUNDING <= low <= high <= 1 + _ROUNDING:  # false of NaN too
            refuse(f"values from {low:g} to {high:g}", hint)


def _fits(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    if len(shape) != len(expected):
        return False
    for size, got in zip(expected, shape, strict=True):
        if size is not None and size != got:
            return False
    return True


def _format(values: Tensor) -> str:
    return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}"


def _text(shape: Sequence[int | None]) -> str:
    """Such as "(B, 3, H, W)"."""
    names = ("B", "C", "H", "W")[: len(shape)]
    return f"({', '.join(n if s is None else str(s) for n, s in zip(names, shape, strict=True))})"
