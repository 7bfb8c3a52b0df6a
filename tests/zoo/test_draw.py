"""Streams: one per image and purpose, whatever the batch, the fill and the memory format."""

from __future__ import annotations

import pytest
import torch

from zoo.draw import Draw


@pytest.mark.parametrize("shape", [(1,), (3, 5, 7), (3, 16, 16), (4, 64, 64)])
def test_a_stream_does_not_depend_on_its_batch(shape) -> None:
    whole, part = Draw(7, range(20), "noise"), Draw(7, [3, 11], "noise")
    for _ in range(35):  # past two fills
        a, b = whole.normal(torch.empty(20, *shape)), part.normal(torch.empty(2, *shape))
        assert torch.equal(a[[3, 11]], b)


def test_a_stream_is_its_generators_plain_sequence() -> None:
    draw = Draw(1, [4], "noise")
    again = Draw(1, [4], "noise").generators[0]
    expected = torch.empty(40, 48).normal_(generator=again)
    drawn = torch.cat([draw.normal(torch.empty(1, 3, 4, 4)).reshape(1, 48) for _ in range(40)])
    assert torch.equal(drawn, expected)


def test_purposes_seeds_and_images_are_independent() -> None:
    like = torch.empty(2000, 1)
    columns = [
        Draw(0, range(2000), "a").normal(like),
        Draw(0, range(2000), "b").normal(like),
        Draw(1, range(2000), "a").normal(like),
    ]
    table = torch.corrcoef(torch.cat(columns, dim=1).T)
    assert (table - torch.eye(3)).abs().max() < 0.1
    rows = Draw(0, [0, 1], "a").normal(torch.empty(2, 4096))
    assert torch.corrcoef(rows)[0, 1].abs() < 0.06


def test_moments_and_ranges() -> None:
    draw = Draw(0, range(3000), "x")
    noise = draw.normal(torch.empty(3000, 16))
    assert noise.mean().abs() < 0.02 and (noise.std() - 1).abs() < 0.02
    uniform = draw.uniform()
    assert uniform.dtype == torch.float64 and uniform.min() >= 0 and uniform.max() < 1
    assert set(draw.integers(4).tolist()) == {0, 1, 2, 3}


def test_dtype_and_memory_format_follow_like_but_not_the_numbers() -> None:
    like = torch.empty(2, 3, 4, 4)
    plain = Draw(0, range(2), "x").normal(like)
    last = Draw(0, range(2), "x").normal(like.to(memory_format=torch.channels_last))
    double = Draw(0, range(2), "x").normal(like.double())
    assert torch.equal(plain, last) and torch.equal(plain.double(), double)


def test_a_batch_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="noise for 3 images asked of a draw for 2"):
        Draw(0, range(2), "x").normal(torch.empty(3, 1))
