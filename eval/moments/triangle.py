"""Sums of outer products, which are symmetric: only the upper triangle is computed and stored.

The triangle is one vector of panels of up to 256 rows each: rows ``first`` to ``last`` of the
square from column ``first`` on. At 2,048 dimensions it has 9/16 of the square's numbers and takes
9/16 of its products, in calls that are still large enough to run at full speed.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_PANEL = 256


def scatter_length(size: int) -> int:
    """The length of the triangle of a (size, size) matrix."""
    return sum(rows * columns for _, rows, columns in _shapes(size))


def empty_scatter(size: int) -> Tensor:
    """The triangle of a (size, size) matrix of zeros, float64."""
    return torch.zeros(scatter_length(size), dtype=torch.float64)


def add_products(scatter: Tensor, rows: Tensor, scale: float = 1.0) -> None:
    """Adds ``scale rows^T rows`` of rows (N, D) float64 in place."""
    for first, panel in _panels(scatter, rows.shape[1]):
        panel.addmm_(rows[:, first : first + len(panel)].T, rows[:, first:], alpha=scale)


def to_square(scatter: Tensor, size: int) -> Tensor:
    """The whole symmetric matrix (size, size) of a triangle."""
    square = scatter.new_empty(size, size)
    for first, panel in _panels(scatter, size):
        last = first + len(panel)
        square[first:last, first:] = panel
        square[last:, first:last] = panel[:, last - first :].T
        corner = square[first:last, first:last]
        # its halves are computed separately: equal but for rounding
        corner.copy_((corner + corner.T) / 2)
    return square


def from_square(square: Tensor) -> Tensor:
    """The triangle of a symmetric matrix (D, D)."""
    scatter = empty_scatter(len(square))
    for first, panel in _panels(scatter, len(square)):
        panel.copy_(square[first : first + len(panel), first:])
    return scatter


def _shapes(size: int) -> Iterator[tuple[int, int, int]]:
    """Each panel's first row, number of rows and number of columns."""
    for first in range(0, size, _PANEL):
        yield first, min(_PANEL, size - first), size - first


def _panels(scatter: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    start = 0
    for first, rows, columns in _shapes(size):
        yield first, scatter[start : start + rows * columns].view(rows, columns)
        start += rows * columns
