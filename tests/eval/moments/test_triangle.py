from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.moments.triangle import add_products, empty_scatter, from_square, to_square


def rows(count: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randn(count, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 5, 256, 257, 600])
def test_equals_numpys_products(size: int) -> None:
    first, second = rows(30, size), rows(7, size) + 1
    scatter = empty_scatter(size)
    add_products(scatter, first)
    add_products(scatter, second, scale=-0.5)
    want = first.numpy().T @ first.numpy() - second.numpy().T @ second.numpy() / 2
    square = to_square(scatter, size)
    np.testing.assert_allclose(square, want, rtol=1e-12, atol=1e-12)
    assert torch.equal(square, square.T)


def test_a_square_comes_back() -> None:
    square = rows(600, 600)
    square = square + square.T
    assert torch.equal(to_square(from_square(square), 600), square)


def test_takes_little_more_than_half_the_square() -> None:
    assert len(empty_scatter(2048)) == 2048**2 * 9 / 16
