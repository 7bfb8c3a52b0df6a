"""Stored images: a folder, a zip, an ``.npz`` or a parquet file.

Files become pixels as those of data sets do (``zoo.data.picture``). Nothing is resized, because
metrics depend on how that is done, and nothing is held in memory that can be read again.
"""

from __future__ import annotations

import csv
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from eval.moments.npz import mapped_array, npz_names
from eval.source.decoders import AsStored, of_array
from zoo.data.decode import OnDemand
from zoo.data.image_set import ImageSet
from zoo.data.rows import Rows
from zoo.data.source.folder import FILE_NAME, read_folder
from zoo.data.source.parquet import columns, read_parquet

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".tif", ".tiff"}
KINDS = "a folder or a .zip of images, an .npz (arr_0: uint8 (N, H, W, C)), or a .parquet file"


def open_images(path: str | Path, shape: Sequence[int] | None = None) -> ImageSet:
    """Opens a folder or a file of images.

    An ``.npz`` has the layout of OpenAI's evaluator: ``arr_0`` (N, H, W, C) uint8 (others are in
    ``eval.source.decoders.LAYOUT``), labels in ``arr_1`` or ``label`` where it has any, texts in
    ``captions``. A folder may have a metadata.csv with ``file_name``, ``label`` (integers) and
    ``text``, as `zoo sample` writes. A parquet file has a column ``image`` of encoded bytes, and
    perhaps ``label`` (integers) and ``caption`` or ``text``.

    Args:
        path: folder or file.
        shape: (C, H, W) of the images that they are compared with; when None, their own, with three
            channels where any of them has colour.

    Raises:
        ValueError: there are no images, a file is broken, or of another shape; it is named.
    """
    path = Path(path).expanduser()
    kind = "folder" if path.is_dir() else path.suffix.lower() if path.is_file() else "absent"
    channels = None if shape is None else shape[0]
    if kind == ".npz":
        images = _from_npz(path, channels)
    elif kind in _ENCODED:
        rows = _ENCODED[kind](path)
        images = OnDemand(AsStored(rows, channels), rows)
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


def _from_npz(path: Path, channels: int | None) -> ImageSet:
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
    return of_array(images, labels, f"{path}: 'arr_0'", channels, captions)


_ENCODED = {"folder": _in_folder, ".zip": _in_zip, ".parquet": _in_parquet}
