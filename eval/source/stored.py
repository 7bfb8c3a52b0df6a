"""Stored images: a folder, a zip, an ``.npz`` or a parquet file.

Nothing is resized, because metrics depend on how that is done, and nothing is held in memory that
can be read again.
"""

from __future__ import annotations

import csv
import io
import threading
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
from zoo.data.source.folder import FILE_NAME, read_folder
from zoo.data.source.parquet import columns, read_parquet

T = TypeVar("T")

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".tif", ".tiff"}
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
    ``arr_1`` or ``label`` where it has any, texts in ``captions``. A folder may have a metadata.csv
    with ``file_name``, ``label`` (integers) and ``text``, as `zoo sample` writes. A parquet file
    has a column ``image`` of encoded bytes, and perhaps ``label`` (integers) and ``caption`` or
    ``text``.

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
        images = OnDemand(AsStored(rows, None if shape is None else shape[0]), rows)
        images.grouped = kind != ".parquet" and _folders(rows) > 1
    else:
        what = "no such file or folder" if kind == "absent" else "not images"
        raise ValueError(f"{path}: {what}; expected {KINDS}")
    if shape is not None and list(images.shape) != list(shape):
        raise ValueError(
            f"{path}: images are {images.shape}, the data are {tuple(shape)}; choose data of that "
            "size (data=..., or reference=...), or resize them beforehand"
        )
    return images


def _in_folder(path: Path) -> Rows:
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    _refuse_empty(files, path)
    table = path / "metadata.csv"
    columns = _csv_heads(table) if table.is_file() else []
    if FILE_NAME in columns:
        return _listed(path, columns, files)
    return Rows(len(files), lambda i: files[i].read_bytes(), lambda i: str(files[i]))


def _listed(path: Path, columns: Sequence[str], files: Sequence[Path]) -> Rows:
    """The images of a folder as its metadata.csv lists them; labels that are words are left out."""
    label = "label" if "label" in columns else None
    caption = next((name for name in ("text", "caption") if name in columns), None)
    rows = read_folder(path, label, caption)
    listed = {Path(rows.where(i)) for i in range(len(rows))}
    if left := [file for file in files if file not in listed]:
        raise ValueError(
            f"{path}: metadata.csv lists {len(rows)} images, but not {left[0].relative_to(path)}: "
            "complete or remove it"
        )
    if rows.labels is not None and not all(isinstance(label, int) for label in rows.labels):
        rows = replace(rows, labels=None)
    return rows


def _csv_heads(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file), [])


def _folders(rows: Rows) -> int:
    """The number of folders that contain the images."""
    return len({Path(rows.where(i)).parent for i in range(len(rows))})


def _in_zip(path: Path) -> Rows:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path}: not a readable zip ({error})") from error
    names = sorted(name for name in archive.namelist() if Path(name).suffix.lower() in SUFFIXES)
    _refuse_empty(names, path)
    lock = threading.Lock()  # one file position for all threads

    def read(index: int) -> bytes:
        with lock:
            return archive.read(names[index])

    return Rows(len(names), read, lambda i: f"{path}: {names[i]}")


def _in_parquet(path: Path) -> Rows:
    present = columns(path)
    if "image" not in present:
        raise ValueError(f"{path}: no column 'image'; it has {', '.join(present)}")
    label = "label" if "label" in present else None
    caption = next((name for name in ("caption", "text") if name in present), None)
    rows = read_parquet(path, "image", label, caption)
    _refuse_empty(range(len(rows)), path)
    if rows.labels is not None and not all(isinstance(label, int) for label in rows.labels):
        raise ValueError(f"{path}: column 'label' holds words; labels are integers from 0")
    return rows


def _refuse_empty(images: Sequence[object], path: Path) -> None:
    if not images:
        raise ValueError(f"{path}: no images in it ({', '.join(sorted(SUFFIXES))})")


def _from_npz(path: Path) -> ImageSet:
    names = npz_names(path)
    if "arr_0" not in names:
        statistics = {"mu", "sigma"} <= set(names)
        hint = "statistics, not images: say reference=..." if statistics else "no images"
        raise ValueError(f"{path}: no array 'arr_0'; it has {', '.join(names)} ({hint})")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            key = next((name for name in ("arr_1", "label") if name in names), None)
            labels = None if key is None else torch.from_numpy(arrays[key]).long().flatten()
            texts = arrays["captions"] if "captions" in names else np.empty(0)
            captions = [str(text) for text in texts] if texts.dtype.kind == "U" else None
        images = mapped_array(path, "arr_0.npy")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable npz ({error})") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{path}: 'arr_0' is {images.dtype} {images.shape}, not uint8 (N, H, W, 1 or 3)"
        )
    for what, values in (("labels", labels), ("captions", captions)):
        if values is not None and len(values) != len(images):
            raise ValueError(f"{path}: {len(images)} images, but {len(values)} {what}")
    _refuse_empty(range(len(images)), path)
    return ImageSet(torch.from_numpy(images).permute(0, 3, 1, 2), labels, captions)


_ENCODED = {"folder": _in_folder, ".zip": _in_zip, ".parquet": _in_parquet}
