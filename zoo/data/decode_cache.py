"""Decoded sets kept between runs, by the content of the files that they came from."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor

from zoo import paths
from zoo.data.picture import DECODING
from zoo.data.pixels import FILTER
from zoo.data.rows import Rows


def content_key(rows: Rows, image_size: int, channels: int) -> str | None:
    """A hash of all that fixes the pixels: every encoded byte, the size, the rules, PIL's version.

    None where a row cannot be read.
    """
    how = f"{image_size} {channels} {FILTER.name} {DECODING} {PIL.__version__} {len(rows)}"
    digest = hashlib.sha256(how.encode())
    for index in range(len(rows)):
        try:
            encoded = rows.read(index)
        except (OSError, ValueError):
            return None
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def find(key: str | None) -> Tensor | None:
    """The images (N, C, H, W) uint8 kept under this key, or None."""
    try:
        return None if key is None else torch.from_numpy(np.load(_file(key)))
    except (OSError, ValueError, EOFError):
        return None


def store(key: str | None, images: Tensor) -> None:
    """Keeps them, whole or not at all; a disk that is full costs the cache, not the run."""
    if key is None:
        return
    part = None
    try:
        _file(key).parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=_file(key).parent, delete=False) as file:
            part = Path(file.name)
            np.save(file, images.numpy())
        os.replace(part, _file(key))
    except OSError:
        if part is not None:
            part.unlink(missing_ok=True)


def _file(key: str) -> Path:
    return paths.cache() / "decoded" / f"{key}.npy"
