"""The meaning of a network's output: a linear reading x0 = c_x x + c_out output."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from zoo.part import Part
from zoo.records import N


class Parameterization(Protocol):
    """The reading and the training target of an output, and the network's input.

    ``alpha`` and ``sigma`` are floats, or tensors that broadcast over x.
    """

    def target(self, x0: Tensor, noise: Tensor, alpha: N, sigma: N) -> Tensor:
        """The ideal output."""

    def reading(self, alpha: N, sigma: N) -> tuple[N, N]:
        """(c_x, c_out) of x0 = c_x x + c_out output."""

    def input(self, x: Tensor, alpha: N, sigma: N) -> Tensor:
        """The network's input."""


class Epsilon(Part):
    """The output is the noise (DDPM, eq. 14)."""

    def target(self, x0: Tensor, noise: Tensor, alpha: N, sigma: N) -> Tensor:
        return noise

    def reading(self, alpha: N, sigma: N) -> tuple[N, N]:
        return 1 / alpha, -sigma / alpha

    def input(self, x: Tensor, alpha: N, sigma: N) -> Tensor:
        return x


class X0(Part):
    """The output is the clean data."""

    def target(self, x0: Tensor, noise: Tensor, alpha: N, sigma: N) -> Tensor:
        return x0

    def reading(self, alpha: N, sigma: N) -> tuple[N, N]:
        return 0.0 * alpha, 1.0 + 0.0 * alpha

    def input(self, x: Tensor, alpha: N, sigma: N) -> Tensor:
        return x


class Velocity(Part):
    """The output is v = alpha noise - sigma x0 (progressive distillation, arXiv:2202.00512)."""

    def target(self, x0: Tensor, noise: Tensor, alpha: N, sigma: N) -> Tensor:
        return alpha * noise - sigma * x0

    def reading(self, alpha: N, sigma: N) -> tuple[N, N]:
        norm = alpha**2 + sigma**2  # 1 for variance preserving schedules
        return alpha / norm, -sigma / norm

    def input(self, x: Tensor, alpha: N, sigma: N) -> Tensor:
        return x
