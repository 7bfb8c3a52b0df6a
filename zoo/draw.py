"""All randomness: one stream per image and purpose, so that an image depends on its index alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

_LANES = 16  # torch's CPU normal_ works in blocks of 16: rows padded to it make fills composable
_DRAWS_PER_FILL = 16
_FILL_LIMIT = 1 << 22  # floats held per stream batch, so that large images are filled one by one


class Draw:
    """The random streams of some images for one purpose.

    Image ``i`` has its own generator, seeded by a hash of ``(seed, purpose)`` plus ``i``, so its
    numbers depend neither on the batch it is drawn in nor on the process that draws it. torch's
    CPU generator keeps 32 bits of a seed; adding ``i`` (instead of hashing it) keeps the streams
    of up to 2^32 images distinct.

    Args:
        seed: the run's seed.
        indices: the images' global indices.
        purpose: what the numbers are for, such as "noise" or "label"; purposes are independent.

    >>> one, many = Draw(0, [5], "noise"), Draw(0, range(8), "noise")
    >>> torch.equal(one.normal(torch.empty(1, 3, 4, 4)), many.normal(torch.empty(8, 3, 4, 4))[5:6])
    True
    """

    def __init__(self, seed: int, indices: Sequence[int], purpose: str) -> None:
        digest = hashlib.blake2s(f"{int(seed)}/{purpose}".encode(), digest_size=4).digest()
        self.indices = list(indices)
        self._base = int.from_bytes(digest, "little")
        self._rows = torch.empty(0, 0, 0)  # drawn ahead: (draws, images, padded size)
        self._next = 0
        self._shape = torch.Size()
        self._noise: tuple[Tensor, ...] = ()  # the same as tensors of that shape

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def generators(self) -> list[torch.Generator]:
        """One of each image, made when something is drawn: a deterministic walk needs none."""
        return [
            torch.Generator().manual_seed((self._base + index) % 2**32) for index in self.indices
        ]

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal noise of ``like``'s shape, dtype and device; like: (B, ...).

        Drawn in float32 on the CPU, in row-major order whatever ``like``'s memory format.

        Raises:
            ValueError: the batch of ``like`` is not that of this draw.
        """
        count = len(self.indices)
        if like.shape[0] != count:
            raise ValueError(f"noise for {len(like)} images asked of a draw for {count}")
        size = like.numel() // max(1, count)
        padded = -(-size // _LANES) * _LANES
        if self._next == self._rows.shape[0] or self._rows.shape[2] != padded:
            most = _DRAWS_PER_FILL if len(self._rows) else 1  # a training step draws once
            per_fill = max(1, min(most, _FILL_LIMIT // max(1, padded * count)))
            rows = torch.empty(count, per_fill, padded)
            for row, generator in zip(rows, self.generators, strict=True):
                row.normal_(generator=generator)
            self._rows = rows.transpose(0, 1).to(like.device, like.dtype)
            self._next = 0
            self._shape = torch.Size()
        if self._shape != like.shape:
            self._shape = like.shape
            self._noise = self._rows[:, :, :size].reshape(len(self._rows), *like.shape).unbind(0)
        noise = self._noise[self._next]
        self._next += 1
        return noise if noise.dtype == like.dtype else noise.to(like.dtype)

    def uniform(self) -> Tensor:
        """One number in [0, 1) per image: (B,) float64 on the CPU."""
        return torch.stack(
            [torch.rand((), dtype=torch.float64, generator=g) for g in self.generators]
        )

    def integers(self, high: int) -> Tensor:
        """One integer in [0, high) per image: (B,) int64 on the CPU."""
        return torch.stack([torch.randint(high, (), generator=g) for g in self.generators])
