"""Stored images: a folder, a zip, an ``.npz`` or a parquet file.

Nothing is resized, because metrics depend on how that is done, and nothing is held in memory that
can be read again.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eval.moments.npz import mapped_array, npz_names
from zoo.data.decode import THREADS, OnDemand
from zoo.data.image_set import ImageSet
from zoo.data.rows import Rows
from zoo.data.source.files import say_once
from zoo.data.source.folder import refuse_empty, rows_of
from zoo.data.source.layout import metadata_of, splits_of, unwrapped
from zoo.data.source.listing import open_files
from zoo.data.source.metadata import listed
from zoo.data.source.parquet import columns, read_parquet
from zoo.data.source.table import read_table

T = TypeVar("T")

KINDS = "a folder or a .zip of images, an .npz (arr_0: uint8 (N, H, W, C)), or a .parquet file"
_GREY = ("1", "L", "LA")


class AsStored:
    """Decodes rows at their stored size, which must be the same for all.

    Args:
        rows: of encoded images, whose headers are read at once.
        channels: 1 or 3; as many as the first image has when None.

    Raises:
        ValueError: an image cannot be read, or has another size than the first; its file is named.
    """

    def __init__(self, rows: Rows, channels: int | None = None) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            headers = list(pool.map(lambda index: _header(rows, index), range(len(rows))))
        (width, height), first_mode = headers[0]
        for index, (size, mode) in enumerate(headers):
            if mode[0] in "IF":
                raise ValueError(
                    f"{rows.where(index)} has more than 8 bits a channel (mode {mode}): save "
                    "images with 8 bits"
                )
            if size != (width, height):
                raise ValueError(
                    f"{rows.where(index)} is {size[0]}x{size[1]}, but {rows.where(0)} is "
                    f"{width}x{height}: images must have one size; resize them all in the same way "
                    "beforehand"
                )
        self.shape = (channels or (1 if first_mode in _GREY else 3), height, width)

    def decode(self, rows: Rows, index: int) -> Tensor:
        """Row ``index`` as (C, H, W) uint8.

        Raises:
            ValueError: it is in colour, where grey images are compared.
        """
        grey = self.shape[0] == 1
        pixels = _read(rows, index, lambda picture: _pixels(picture, grey))
        if grey and pixels.ndim == 3:
            if (pixels != pixels[..., :1]).any():
                raise ValueError(
                    f"{rows.where(index)} is in colour, but is compared with grey images: choose "
                    "data with 3 channels, or convert the images beforehand"
                )
            pixels = pixels[..., 0]
        return torch.from_numpy(pixels).reshape(*pixels.shape[:2], -1).permute(2, 0, 1)


def _pixels(picture: Image.Image, grey: bool) -> np.ndarray:
    return np.array(picture.convert("L" if grey and picture.mode in _GREY else "RGB"))


def _header(rows: Rows, index: int) -> tuple[tuple[int, int], str]:
    return _read(rows, index, lambda picture: (picture.size, picture.mode))


def _read(rows: Rows, index: int, use: Callable[[Image.Image], T]) -> T:
    try:
        with Image.open(io.BytesIO(rows.read(index))) as picture:
            return use(picture)
    except Exception as error:  # PIL's plugins raise anything, struct.error and KeyError too
        raise ValueError(
            f"{rows.where(index)}: not a readable image ({error}); remove it or write it again"
        ) from error


def open_images(path: str | Path, shape: Sequence[int] | None = None) -> ImageSet:
    """Opens a folder or a file of images.

    An ``.npz`` has the layout of OpenAI's evaluator: ``arr_0`` (N, H, W, C) uint8, labels in
    ``arr_1`` or ``label`` where it has any. A parquet file has a column ``image`` of encoded bytes,
    and perhaps ``label`` (integers) and ``caption`` or ``text``.

    Args:
        path: folder or file.
        shape: (C, H, W) of the images that they are compared with; any when None.

    Raises:
        ValueError: there are no images, a file is broken, or of another shape; it is named.
    """
    path = Path(path).expanduser()
    kind = "folder" if path.is_dir() else path.suffix.lower() if path.is_file() else "absent"
    if kind == ".npz":
        images = _from_npz(path)
    elif kind in _ENCODED:
        rows = _ENCODED[kind](path)
        words = rows.labels is not None and isinstance(rows.labels[0], str)
        grouped = words or (kind != ".parquet" and _folders(rows) > 1)
        if words:
            say_once(f"{path}: left out labels that are words; labels to measure with are integers")
            rows = replace(rows, labels=None)
        images = OnDemand(AsStored(rows, None if shape is None else shape[0]), rows)
        images.grouped = grouped
    else:
        what = "no such file or folder" if kind == "absent" else "not images"
        raise ValueError(f"{path}: {what}; expected {KINDS}")
    if shape is not None and list(images.shape) != list(shape):
        raise ValueError(
            f"{path}: images are {images.shape}, the data are {tuple(shape)}; choose data of that "
            "size (data=..., or reference=...), or resize them beforehand"
        )
    return images


def _in_place(path: Path) -> Rows:
    """The images that a data set of this folder or zip would have, if it is one set."""
    files = unwrapped(open_files(path))
    splits = list(splits_of(files).values())
    if splits:
        inside = f"{files.where(splits[0])}" if files.folder else "the folder unpacked from it"
        raise ValueError(
            f"{path} holds the splits {', '.join(f'{name}/' for name in splits)}: name the images "
            f"of one, such as {inside}"
        )
    metadata = metadata_of(files)
    if metadata is None:
        refuse_empty(files)
        return rows_of(files, files.images)
    table = read_table(files, metadata)
    return rows_of(files, *listed(files, table, *_known(table.columns)))


def _folders(rows: Rows) -> int:
    """The number of folders that contain the images."""
    return len({Path(rows.where(i)).parent for i in range(len(rows))})


def _known(columns: Sequence[str]) -> tuple[str | None, str | None]:
    """The columns of labels and captions, where there are any."""
    caption = next((name for name in ("caption", "text") if name in columns), None)
    return "label" if "label" in columns else None, caption


def _in_parquet(path: Path) -> Rows:
    present = columns(path)
    if "image" not in present:
        raise ValueError(f"{path}: no column 'image'; it has {', '.join(present)}")
    rows = read_parquet(path, "image", *_known(present))
    _refuse_empty(range(len(rows)), path)
    return rows


def _refuse_empty(images: Sequence[object], path: Path) -> None:
    if not images:
        raise ValueError(f"no images in {path}")


def _from_npz(path: Path) -> ImageSet:
    names, labels = npz_names(path), None
    if "arr_0" not in names:
        statistics = {"mu", "sigma"} <= set(names)
        hint = "statistics, not images: say reference=..." if statistics else "no images"
        raise ValueError(f"{path}: no array 'arr_0'; it has {', '.join(names)} ({hint})")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            key = next((name for name in ("arr_1", "label") if name in names), None)
            labels = None if key is None else torch.from_numpy(arrays[key]).long().flatten()
        images = mapped_array(path, "arr_0.npy")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable npz ({error})") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{path}: 'arr_0' is {images.dtype} {images.shape}, not uint8 (N, H, W, 1 or 3)"
        )
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{path}: {len(images)} images, but {len(labels)} labels")
    _refuse_empty(range(len(images)), path)
    return ImageSet(torch.from_numpy(images).permute(0, 3, 1, 2), labels)


_ENCODED = {"folder": _in_place, ".zip": _in_place, ".parquet": _in_parquet}
