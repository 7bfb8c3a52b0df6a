"""Images that were made elsewhere: a folder, a zip, an ``.npz`` or a parquet file.

Nothing is resized, for a metric depends on how that is done, and nothing is held in memory that
can be read again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.moments.npz import mapped_array, npz_names
from zoo.data.rows import Rows

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".tif", ".tiff"}
KINDS = "a folder or a .zip of images, an .npz (arr_0: uint8 (N, H, W, C)), or a .parquet file"
_CHUNK = 1024
_THREADS = min(4, os.cpu_count() or 1)
_GREY = ("1", "L", "LA")


class StoredImages:
    """Images as one tensor, perhaps memory-mapped; what evaluations know of a split of a data set.

    Args:
        images: (N, C, H, W) uint8.
        name: where they come from.
        labels: (N,) int64, or None.
        captions: N sentences, or None.
    """

    num_folders = 1  # in which they lie, each perhaps a class

    def __init__(
        self,
        images: Tensor,
        name: str,
        labels: Tensor | None = None,
        captions: list[str] | None = None,
    ) -> None:
        self._images, self.name, self.labels, self.captions = images, name, labels, captions

    def __len__(self) -> int:
        return len(self._images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        channels, height, width = self._images.shape[1:]
        return channels, height, width

    def gather(self, indices: Tensor | Sequence[int]) -> Tensor:
        """The images at ``indices``: (B, C, H, W) uint8, a copy."""
        chosen = self._images[torch.as_tensor(indices, dtype=torch.int64)]
        return chosen.contiguous()

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of shape, pixels, labels and captions, however they are stored."""
        digest = hashlib.sha256(f"uint8 {(len(self), *self.shape)}".encode())
        for first in range(0, len(self), _CHUNK):
            part = self.gather(range(first, min(first + _CHUNK, len(self))))
            digest.update(part.numpy().tobytes())
        labels = None if self.labels is None else self.labels.tolist()
        digest.update(json.dumps([labels, self.captions]).encode())
        return digest.hexdigest()


class EncodedImages(StoredImages):
    """Images that are decoded when they are asked for.

    Args:
        rows: of encoded images; the size of each is read now.
        name: where they come from.
        channels: 1 or 3; what the first image has when None.

    Raises:
        ValueError: an image cannot be read, or has another size than the first; its file is named.
    """

    def __init__(self, rows: Rows, name: str, channels: int | None = None) -> None:
        self._rows, self.name = rows, name
        with ThreadPoolExecutor(_THREADS) as pool:
            headers = list(pool.map(self._header, range(len(rows))))
        size, mode = headers[0]
        deep = next((i for i, (_, one) in enumerate(headers) if one[0] in "IF"), None)
        if deep is not None:
            raise ValueError(
                f"{rows.where(deep)} has more than 8 bits a channel (mode {headers[deep][1]}): "
                "save images with 8 bits"
            )
        other = next((i for i, (found, _) in enumerate(headers) if found != size), None)
        if other is not None:
            raise ValueError(
                f"{rows.where(other)} is {_by(headers[other][0])}, but {rows.where(0)} is "
                f"{_by(size)}: images must have one size; resize them beforehand, all alike"
            )
        self._shape = (channels or (1 if mode in _GREY else 3), size[1], size[0])
        self.labels = None
        if rows.labels is not None:
            self.labels = torch.tensor([int(label) for label in rows.labels])
        self.captions = None if rows.captions is None else list(rows.captions)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self._shape

    def gather(self, indices: Tensor | Sequence[int]) -> Tensor:
        """The images at ``indices``, decoded now: (B, C, H, W) uint8."""
        wanted = torch.as_tensor(indices, dtype=torch.int64).tolist()
        with ThreadPoolExecutor(_THREADS) as pool:
            return torch.stack(list(pool.map(self._decoded, wanted)))

    def _header(self, index: int) -> tuple[tuple[int, int], str]:
        return self._read(index, lambda picture: (picture.size, picture.mode))

    def _decoded(self, index: int) -> Tensor:
        mode = "L" if self._shape[0] == 1 else "RGB"
        pixels = self._read(index, lambda picture: np.array(picture.convert(mode)))
        return torch.from_numpy(pixels).reshape(*pixels.shape[:2], -1).permute(2, 0, 1)

    def _read(self, index: int, use: Callable[[Any], Any]) -> Any:
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self._rows.read(index))) as picture:
                return use(picture)
        except Exception as error:  # PIL's plugins raise anything, struct.error and KeyError too
            where = self._rows.where(index)
            raise ValueError(
                f"{where}: not a readable image ({error}); remove it or write it anew"
            ) from error


def stored(path: str | Path, shape: Sequence[int] | None = None) -> StoredImages:
    """Opens images that were made elsewhere.

    An ``.npz`` has the layout of OpenAI's evaluator: ``arr_0`` (N, H, W, C) uint8, labels in
    ``arr_1`` or ``label`` where it has any. A parquet file has a column ``image`` of encoded bytes,
    and perhaps ``label`` (integers) and ``caption`` or ``text``.

    Args:
        path: folder or file.
        shape: (C, H, W) of what they are compared with; any when None.

    Raises:
        ValueError: nothing to read there, a broken file, or another shape; the file is named.
    """
    path = Path(path).expanduser()
    channels = None if shape is None else shape[0]
    kind = "folder" if path.is_dir() else path.suffix.lower() if path.is_file() else "absent"
    if kind in ("folder", ".zip"):
        rows = _in_folder(path) if kind == "folder" else _in_zip(path)
        found: StoredImages = EncodedImages(rows, str(path), channels)
        found.num_folders = _folders(rows)
    elif kind == ".parquet":
        found = EncodedImages(_in_parquet(path), str(path), channels)
    elif kind == ".npz":
        found = _from_npz(path)
    else:
        what = "no such file or folder" if kind == "absent" else "not images"
        raise ValueError(f"{path}: {what}; expected {KINDS}")
    if shape is not None and list(found.shape) != list(shape):
        raise ValueError(
            f"{path}: images are {found.shape}, the data are {tuple(shape)}; choose data of that "
            "size (data=..., or reference=...), or resize them beforehand"
        )
    return found


def _in_folder(path: Path) -> Rows:
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    _some(files, path)
    return Rows(len(files), lambda i: files[i].read_bytes(), lambda i: str(files[i]))


def _folders(rows: Rows) -> int:
    """In how many folders the images lie."""
    return len({Path(rows.where(i)).parent for i in range(len(rows))})


def _in_zip(path: Path) -> Rows:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path}: not a readable zip ({error})") from error
    names = sorted(name for name in archive.namelist() if Path(name).suffix.lower() in SUFFIXES)
    _some(names, path)
    lock = threading.Lock()  # one file position for all threads

    def read(index: int) -> bytes:
        with lock:
            return archive.read(names[index])

    return Rows(len(names), read, lambda i: f"{path}: {names[i]}")


def _in_parquet(path: Path) -> Rows:
    from zoo.data.source.parquet import columns, read_parquet

    present = columns(path)
    if "image" not in present:
        raise ValueError(f"{path}: no column 'image'; it has {', '.join(present)}")
    label = "label" if "label" in present else None
    caption = next((name for name in ("caption", "text") if name in present), None)
    rows = read_parquet(path, "image", label, caption)
    _some(range(len(rows)), path)
    if rows.labels is not None and not all(isinstance(label, int) for label in rows.labels):
        raise ValueError(f"{path}: column 'label' holds words; labels are integers from 0")
    return rows


def _some(found: Sequence[Any], path: Path) -> None:
    if not found:
        raise ValueError(f"{path}: no images in it ({', '.join(sorted(SUFFIXES))})")


def _from_npz(path: Path) -> StoredImages:
    names, labels = npz_names(path), None
    if "arr_0" not in names:
        statistics = {"mu", "sigma"} <= set(names)
        hint = "statistics, not images: say reference=..." if statistics else "no images"
        raise ValueError(f"{path}: no array 'arr_0'; it has {', '.join(names)} ({hint})")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            named = next((name for name in ("arr_1", "label") if name in names), None)
            labels = None if named is None else torch.from_numpy(arrays[named]).long().flatten()
        images = mapped_array(path, "arr_0.npy")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable npz ({error})") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{path}: 'arr_0' is {images.dtype} {images.shape}, not uint8 (N, H, W, 1 or 3)"
        )
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{path}: {len(images)} images, but {len(labels)} labels")
    _some(range(len(images)), path)
    return StoredImages(torch.from_numpy(images).permute(0, 3, 1, 2), str(path), labels)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
