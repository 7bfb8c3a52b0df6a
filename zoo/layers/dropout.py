"""Dropout whose masks belong to images, not to batches or processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HALF_WORDS = 1 << 16  # a mask compares 16 random bits of each value
_ODD = -0x61C88647  # 2^32 over the golden ratio, as int32: keeps the layers' streams apart
_tables: dict[torch.device, Tensor] = {}


class Dropout(nn.Module):
    """Zeroes each value with probability ``p`` in training and scales the others up.

    Within a training the mask of an image depends on that image's seed and on the layer alone, so a
    batch shared between processes, or between accumulated steps, is masked as a whole one. The bits
    are a hash of seed and place, on any device, in half the time of torch's own dropout on a CPU.
    Where no seeds are set the masks are torch's.

    Args:
        p: the share of zeros, a multiple of 1/65,536 in effect.

    Raises:
        ValueError: ``p`` is no probability.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout is a share in [0, 1], got {p}")
        self.p = p
        self.seeds: Tensor | None = None  # (B,) int32 of the batch in training
        self.number = 0  # among the model's dropout layers

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, ...), one row for each seed."""
        if not self.training or self.p == 0:
            return x
        if self.seeds is None:
            return F.dropout(x, self.p)
        if len(self.seeds) != len(x):
            raise ValueError(
                f"dropout masks {len(self.seeds)} images, one by one, got {len(x)} rows: it needs "
                "the batch first"
            )
        threshold = round(self.p * _HALF_WORDS)
        if threshold == _HALF_WORDS:
            return torch.zeros_like(x)
        keys = mixed(self.seeds.to(x.device) + self.number * _ODD)
        dropped = _bits(keys, x[0].numel()) < threshold - _HALF_WORDS // 2
        return (x * (_HALF_WORDS / (_HALF_WORDS - threshold))).masked_fill(dropped.view(x.shape), 0)


def seeds(seed: int, images: range) -> Tensor:
    """(B,) int32 for the images at these positions, as ``zoo.draw.Draw`` seeds its streams."""
    digest = hashlib.blake2s(f"{seed}/train/dropout".encode(), digest_size=4).digest()
    base = int.from_bytes(digest, "little")
    return (torch.arange(images.start, images.stop) + base).to(torch.int32)


def set_seeds(layers: Iterable[Dropout], seeds: Tensor | None) -> None:
    """Gives a model's dropout layers, in their fixed order, the seeds (B,) int32 of a batch."""
    for number, layer in enumerate(layers):
        layer.seeds, layer.number = seeds, number


def mixed(x: Tensor) -> Tensor:
    """A permutation of int32 that looks random (C. Wellons' lowbias32); x is overwritten."""
    x ^= (x >> 16) & 0xFFFF  # shifts keep the sign
    x *= 0x21F0AAAD
    x ^= (x >> 15) & 0x1FFFF
    x *= 0x735A2D97
    x ^= (x >> 15) & 0x1FFFF
    return x


def _bits(keys: Tensor, size: int) -> Tensor:
    """Random int16 (B, ``size``) of keys (B,) int32."""
    words = _table(-(-size // 2), keys.device)[None] ^ keys[:, None]
    return mixed(words).view(torch.int16)[:, :size]


def _table(size: int, device: torch.device) -> Tensor:
    """The hashes of 0 to ``size`` - 1, kept: only the keys change from mask to mask."""
    if torch.compiler.is_compiling():  # fused into the mask, and nothing to keep
        return mixed(torch.arange(size, dtype=torch.int32, device=device))
    table = _tables.get(device)
    if table is None or len(table) < size:
        table = _tables[device] = mixed(torch.arange(size, dtype=torch.int32, device=device))
    return table[:size]
