"""Stored images: a folder, a zip, an ``.npz`` or a parquet file.

Files become pixels as those of data sets do (``zoo.data.picture``). Nothing is resized, because
metrics depend on how that is done.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from eval.moments.npz import mapped_array, npz_names
from eval.source.decoders import decoded, of_array
from zoo import paths
from zoo.data.image_set import ImageSet
from zoo.data.rows import Rows
from zoo.data.source.files import say_once
from zoo.data.source.folder import refuse_empty, rows_of
from zoo.data.source.layout import metadata_of, splits_of, unwrapped
from zoo.data.source.listing import open_files
from zoo.data.source.metadata import listed
from zoo.data.source.parquet import columns, read_parquet
from zoo.data.source.table import read_table

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
    path = paths.resolve(path)
    kind = "folder" if path.is_dir() else path.suffix.lower() if path.is_file() else "absent"
    channels = None if shape is None else shape[0]
    if kind == ".npz":
        images = _from_npz(path, channels)
    elif kind in _ENCODED:
        rows = _ENCODED[kind](path)
        words = rows.labels is not None and isinstance(rows.labels[0], str)
        grouped = words or (kind != ".parquet" and _folders(rows) > 1)
        if words:
            say_once(f"{path}: left out labels that are words; labels to measure with are integers")
            rows = replace(rows, labels=None)
        images = decoded(rows, channels)
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
        inside = files.where(splits[0]) if files.folder else "the folder unpacked from it"
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
    if not len(rows):
        raise ValueError(f"no images in {path}")
    return rows


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


_ENCODED = {"folder": _in_place, ".zip": _in_place, ".parquet": _in_parquet}
