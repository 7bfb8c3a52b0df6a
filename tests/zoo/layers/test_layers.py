from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from zoo.layers import Downsample, ResBlock, time_embedding
from zoo.layers.attention import Attention


def test_time_embedding_of_openai() -> None:
    embedding = time_embedding(torch.tensor([0.0, 2.5]), 4)
    slow = 10_000**-0.5
    expected = [
        [1.0, 1.0, 0.0, 0.0],
        [math.cos(2.5), math.cos(2.5 * slow), math.sin(2.5), math.sin(2.5 * slow)],
    ]
    torch.testing.assert_close(embedding, torch.tensor(expected))


def test_time_embedding_of_ddpm() -> None:
    embedding = time_embedding(torch.tensor([2.5]), 4, sine_first=True, frequency_shift=1)
    expected = [math.sin(2.5), math.sin(2.5e-4), math.cos(2.5), math.cos(2.5e-4)]
    torch.testing.assert_close(embedding, torch.tensor([expected]))


def test_time_embedding_keeps_float32_for_low_precision_times() -> None:
    assert time_embedding(torch.tensor([3.0], dtype=torch.bfloat16), 8).dtype == torch.float32
    assert time_embedding(torch.tensor([3]), 8).dtype == torch.float32


def test_asymmetric_padding_looks_right_and_down() -> None:
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = 1.0
    below_right, around = Downsample(1, asymmetric_padding=True), Downsample(1)
    for layer in (below_right, around):
        with torch.no_grad():
            layer.conv.weight.copy_(torch.arange(9.0).view(1, 1, 3, 3))
            layer.conv.bias.zero_()
    assert below_right(x)[0, 0].tolist() == [[0, 0], [0, 0]]  # the kernel's own corner
    assert around(x)[0, 0].tolist() == [[4, 0], [0, 0]]


def test_attention_is_softmax_of_scaled_products() -> None:
    attention = Attention(8, num_heads=2, context_dim=5)
    x, context = torch.randn(2, 3, 8), torch.randn(2, 4, 5)
    mask = torch.tensor([[True, True, False, True], [True, True, True, True]])
    q = attention.q(x).view(2, 3, 2, 4)
    k, v = attention.kv(context).view(2, 4, 2, 2, 4).unbind(2)
    products = torch.einsum("bnhd,blhd->bhnl", q, k) / 2  # the square root of 4
    weights = products.masked_fill(~mask[:, None, None], -math.inf).softmax(-1)
    expected = attention.out(torch.einsum("bhnl,blhd->bnhd", weights, v).reshape(2, 3, 8))
    torch.testing.assert_close(attention(x, context, mask), expected)


@pytest.mark.parametrize("scale_shift_norm", [False, True])
def test_residual_block_by_hand(scale_shift_norm: bool) -> None:
    block = ResBlock(4, 8, 6, scale_shift_norm=scale_shift_norm, norm_groups=2)
    x, embedding = torch.randn(2, 4, 6, 6), torch.randn(2, 6)
    h = block.conv1(F.silu(F.group_norm(x, 2, block.norm1.weight, block.norm1.bias)))
    e = block.embedding(embedding)[..., None, None]
    if scale_shift_norm:
        h = F.group_norm(h, 2) * (1 + e[:, :8]) + e[:, 8:]
    else:
        h = F.group_norm(h + e, 2)
    expected = block.shortcut(x) + block.conv2(F.silu(h))
    torch.testing.assert_close(block(x, embedding), expected)


def test_resampling_blocks_carry_averages_and_copies() -> None:
    x, embedding = torch.randn(1, 4, 4, 4), torch.randn(1, 6)
    down = ResBlock(4, 4, 6, down=True, norm_groups=2)
    up = ResBlock(4, 4, 6, up=True, norm_groups=2)
    down.zero_output()
    up.zero_output()
    blocks = x.view(1, 4, 2, 2, 2, 2).mean((3, 5))
    torch.testing.assert_close(down(x, embedding), blocks)
    repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(up(x, embedding), repeated)
