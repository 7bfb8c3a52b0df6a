"""Values of all processes of a training; with one process every function is the identity."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


def rank_and_count() -> tuple[int, int]:
    """Which process this is, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def total(values: Tensor) -> Tensor:
    """The sum over all processes, without a gradient; every process calls it."""
    if rank_and_count()[1] == 1:
        return values
    values = values.detach().clone()
    distributed.all_reduce(values)
    return values


def mean(values: Tensor) -> Tensor:
    """The mean over all processes, without a gradient; every process calls it."""
    return total(values) / rank_and_count()[1]


def objects(value: T) -> list[T]:
    """One picklable object of each process, in the order of their ranks; every process calls it."""
    count = rank_and_count()[1]
    if count == 1:
        return [value]
    values: list[Any] = [None] * count
    distributed.all_gather_object(values, value)
    return values


def whole(value: Tensor) -> Tensor:
    """A tensor that may be sharded between processes as one that is not; all of them call it."""
    gather: Any = getattr(value, "full_tensor", None)
    return value if gather is None else gather()


def differentiable_total(values: Tensor) -> Tensor:
    """The sum over all processes, with a gradient: every process adds its own loss's share."""
    return values if rank_and_count()[1] == 1 else _Total.apply(values)


def differentiable_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks, with a gradient.

    Args:
        rows: (B, ...); their number may differ between processes.

    Returns:
        (sum of all B, ...).
    """
    rank, count = rank_and_count()
    if count == 1:
        return rows
    sizes = objects(len(rows))
    # a sum with zeros elsewhere: its gradient is a sum again, and sizes may differ
    padded = torch.cat(
        [rows if r == rank else rows.new_zeros(n, *rows.shape[1:]) for r, n in enumerate(sizes)]
    )
    return differentiable_total(padded)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return total(values.contiguous())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return total(gradient.contiguous())
