"""The latents of a data set: the moments of a frozen first stage, in place of its images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data.image_data import ImageData
from zoo.data.image_set import ImageSet
from zoo.data.stream import to_float
from zoo.encodings.entry import Entry
from zoo.encodings.identity import network_digest
from zoo.encodings.request import Request, Source
from zoo.encodings.table import Table, parts
from zoo.first_stage.statistics import latent_statistics, latent_sums

_LARGEST_BATCH, _SMALLEST_BATCH = 32, 4  # fewer rows take other kernels, which round otherwise


class Latents:
    """The moments of every image of a data set, and of its mirror image where training flips.

    Args:
        entry: with the tables "train" and "test".
        flip: whether rows 2 i and 2 i + 1 of "train" are image i and its mirror image.
    """

    def __init__(self, entry: Entry, flip: bool) -> None:
        self.entry, self.flip = entry, flip
        self._train, self._test = entry.tables["train"], entry.tables["test"]

    @property
    def in_memory(self) -> bool:
        """Whether the system can keep the file in memory, so that reading it takes no time."""
        if not hasattr(os, "sysconf"):
            return False
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return self._train.num_bytes < memory / 2

    def train(self, indices: Tensor, flips: Tensor) -> Tensor:
        """Moments (B, ..., h, w) float32 of training images (B,), mirrored where ``flips``."""
        return self._train.gather(2 * indices + flips if self.flip else indices)

    def test(self, indices: Tensor) -> Tensor:
        """Moments (B, ..., h, w) float32 of images (B,) of the test split."""
        return self._test.gather(indices)


def latents_request(
    first_stage: nn.Module, data: ImageData, dtype: str, device: torch.device | str = "cpu"
) -> Request:
    """What to keep of a data set's latents; nothing is encoded but one image.

    Args:
        first_stage: frozen, in evaluation mode; is moved to ``device`` when it encodes.
        data: loaded.
        dtype: "float32" or "float16".
        device: to encode on.
    """

    def encoded(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return first_stage.to(device).moments(to_float(images).to(device)).float().cpu()  # type: ignore[operator]

    def source(images: ImageSet, flip: bool) -> Source:
        most = max(_SMALLEST_BATCH, min(_LARGEST_BATCH, data.batch_size))

        def encode(items: range) -> Tensor:
            rows = []
            for part in parts(items, most):
                pixels = images.gather(part)
                rows.append(encoded(pixels))
                if flip:
                    rows[-1] = torch.stack([rows[-1], encoded(pixels.flip(-1))], 1).flatten(0, 1)
            return torch.cat(rows)

        return Source(len(images), 1 + flip, encode)

    def facts(tables: Mapping[str, Table]) -> dict[str, Any]:
        if not hasattr(first_stage, "mean_variance"):
            return {}
        moments = (piece.float() for piece in tables["train"].pieces())
        mean, deviation = latent_statistics(latent_sums(first_stage, moments))  # type: ignore[arg-type]
        return {"mean": mean.tolist(), "deviation": deviation.tolist()}

    channels, height, width = data.shape
    blank = torch.zeros(1, channels, height, width, dtype=torch.uint8)
    return Request(
        kind="latents",
        about=data.name,
        unit="images",
        encoder={"first_stage": network_digest(first_stage, ("shift", "scale"))},  # come after
        content={
            "train": data.train.pixel_fingerprint,
            "test": data.test.pixel_fingerprint,
            "flip": data.flip,
        },
        dtype=dtype,
        sources={"train": source(data.train, data.flip), "test": source(data.test, False)},
        row_shape=tuple(encoded(blank).shape[1:]),
        facts=facts,
    )
