"""The records that cross a seam, with the shapes and ranges they promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

N = TypeVar("N", float, Tensor)
"""A number: a Python float in a sampler, a (B,) float64 tensor in training."""

Raw = Tensor | list[str] | None
"""A user's condition: labels (B,) int64, captions, or nothing."""


_LARGEST = 16_384  # channels or pixels a side


def check_image_shape(shape: Sequence[int]) -> None:
    """Raises ValueError where ``shape`` is not (C, H, W) of images that there may be."""
    if len(shape) != 3 or not all(1 <= side <= _LARGEST for side in shape):
        raise ValueError(
            f"image_shape is (C, H, W), each from 1 to {_LARGEST:,}, got {tuple(shape)}"
        )


class Batch(NamedTuple):
    """The examples that a data module hands to a training step.

    Attributes:
        images: (B, C, H, W) float32 in [-1, 1], or None where ``moments`` stand for them.
        condition: labels (B,) int64, a list of B captions, or None.
        moments: the cached posterior of the first stage, (B, 2C, h, w), or None.
        indices: (B,) int64, which images of the split they are, or None where nobody says.
    """

    images: Tensor | None
    condition: Raw = None
    moments: Tensor | None = None
    indices: Tensor | None = None

    def __len__(self) -> int:  # the number of examples, not of fields
        first = self.images if self.images is not None else self.moments
        assert first is not None
        return len(first)


class Moments(Protocol):
    """The moments of a frozen first stage, kept, in place of the images that they are of."""

    @property
    def in_memory(self) -> bool:
        """Whether reading them takes no time."""

    def train(self, indices: Tensor, flips: Tensor) -> Tensor:
        """Moments (B, ..., h, w) float32 of training images (B,), mirrored where ``flips``."""

    def test(self, indices: Tensor) -> Tensor:
        """Moments (B, ..., h, w) float32 of images (B,) of the test split."""


class Level(NamedTuple, Generic[N]):
    """One noise level: ``x = alpha x0 + sigma noise``.

    Python floats in a sampler (made once per run), (B,) float64 tensors in training.
    ``log_snr = log(alpha^2 / sigma^2)`` is inf at t = 0.
    """

    t: N
    alpha: N
    sigma: N
    log_snr: N


@dataclass(frozen=True)
class Condition:
    """A conditioner's output, which a denoiser reads.

    Attributes:
        vector: labels (B,) int64 for a denoiser with a label table, or (B, D) float.
        tokens: (B, L, D) for cross-attention.
        mask: (B, L) bool, True where a token counts.
        image: (B, C, H, W), concatenated to the input's channels.
        raw: the condition as the user has it, for guidance by another network.
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None
    image: Tensor | None = None
    raw: Raw = None

    def to(self, device: torch.device | str) -> Condition:
        """Moves every tensor to ``device``."""
        return self._map(lambda value: value.to(device))

    @property
    def size(self) -> int | None:
        """B, the number of conditions; None where there is nothing in them."""
        values = (getattr(self, field.name) for field in fields(self))
        return next((len(value) for value in values if value is not None), None)

    def __getitem__(self, rows: slice | Tensor) -> Condition:
        """Selects rows: a slice, or a tensor of indices."""
        return self._map(
            lambda value: value[rows],
            lambda texts: texts[rows] if isinstance(rows, slice) else [texts[i] for i in rows],
        )

    def _map(
        self,
        on_tensor: Callable[[Tensor], Tensor],
        on_texts: Callable[[list[str]], list[str]] = lambda texts: texts,
    ) -> Condition:
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = on_tensor(value)
            elif isinstance(value, list):
                changed[field.name] = on_texts(value)
        return replace(self, **changed)

    @staticmethod
    def cat(parts: list[Condition]) -> Condition:
        """Concatenates along the batch; a field that one part lacks must be absent in all.

        Only ``raw`` may be lacking in some, such as null conditions, and is then left out.
        """
        joined: dict[str, Any] = {}
        for name in ("vector", "tokens", "mask", "image"):
            values = [getattr(part, name) for part in parts]
            if any(value is not None for value in values):
                if any(value is None for value in values):
                    raise ValueError(f"cannot join conditions: only some have '{name}'")
                joined[name] = torch.cat(values)
        return Condition(**joined, raw=_cat_raw([part.raw for part in parts]))


def _cat_raw(raws: list[Any]) -> Raw:
    if all(isinstance(raw, Tensor) for raw in raws):
        return torch.cat(raws)
    if all(isinstance(raw, list) for raw in raws):
        return [row for raw in raws for row in raw]
    return None


class Noised(NamedTuple):
    """Noised data and what it was made of; ``x``, ``x0`` and ``noise`` have one shape."""

    x: Tensor
    level: Level
    x0: Tensor
    noise: Tensor


class Prediction(NamedTuple):
    """A model's estimate at one level.

    Attributes:
        x0: the predicted clean data, the shape of x, float32.
        variance_fraction: 0 is the posterior variance, 1 is beta, between them the logarithm is
            interpolated (Improved DDPM, eq. 15); a float where fixed, else a tensor like x0.
        score: a classifier's gradient, already inside ``x0``.
        reading: (c_x, c_out) of x0 = c_x x + c_out output, before x0 was guided or clipped; None
            where no network's output was read.
    """

    x0: Tensor
    variance_fraction: Tensor | float = 0.0
    score: Tensor | None = None
    reading: tuple[Any, Any] | None = None


Predict = Callable[[Tensor, Level], Prediction]
"""Noisy x (B, C, H, W) and its level in, a prediction out."""

RawPredict = Callable[[Tensor, Level, Condition], Prediction]
"""As ``Predict``, with the condition still open and x0 not clipped: what a guidance gets."""

Clip = Callable[[Tensor], Tensor]
"""x0 to x0: bounds, dynamic threshold, or the identity."""


def check_counts(num_images: int, **per_image: Any) -> None:
    """Refuses values, by name, of another number than the images; None is not given.

    Raises:
        ValueError: there are more or fewer, or one text stands for all.
    """
    for name, values in per_image.items():
        if isinstance(values, str):
            raise ValueError(f"{name} is one for each image: [{values[:40]!r}] * {num_images}")
        if values is None:
            continue
        count = values.size if isinstance(values, Condition) else len(values)
        if count not in (None, num_images):
            raise ValueError(f"{num_images} images need as many {name}, got {count}")
