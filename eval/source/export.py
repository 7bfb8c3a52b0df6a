"""Generated images, written while they are measured: a folder of PNGs, or an ``.npz``."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from eval.source.batch import Images
from zoo.system.files import replacing
from zoo.system.picture import save_png


def exported(batches: Iterator[Images], path: Path, num_images: int) -> Iterator[Images]:
    """The same batches, each written before it is yielded.

    An ``.npz`` has the layout of OpenAI's evaluator, ``arr_0`` (N, H, W, C) uint8 and labels in
    ``arr_1``, and appears when it is whole. A folder gets ``000000.png`` and following.

    Raises:
        ValueError: the folder already holds other files.
    """
    if path.suffix == ".npz":
        yield from _npz(batches, path, num_images)
        return
    foreign = [] if path.is_dir() else [path] if path.exists() else []
    if path.is_dir():  # it may hold an interrupted evaluation's own images
        own = {f"{number:06d}.png" for number in range(num_images)}
        foreign = [file for file in path.iterdir() if file.name not in own]
    if foreign:
        raise ValueError(f"keep={path}: {foreign[0]} is there; name a new folder, or an .npz")
    first = 0
    for batch in batches:
        for image in batch.images:
            save_png(image, path / f"{first:06d}.png")
            first += 1
        yield batch


def _npz(batches: Iterator[Images], path: Path, num_images: int) -> Iterator[Images]:
    path.parent.mkdir(parents=True, exist_ok=True)
    array, labels, first = None, [], 0
    raw = path.with_name(f".{path.name}.arr_0.npy")
    try:
        for batch in batches:
            planes = batch.images.permute(0, 2, 3, 1).numpy()
            if array is None:
                shape = (num_images, *planes.shape[1:])
                array = np.lib.format.open_memmap(raw, "w+", np.uint8, shape)
            array[first : first + len(planes)] = planes
            first += len(planes)
            if batch.labels is not None:
                labels.append(batch.labels)
            yield batch
        assert array is not None
        array.flush()
        with replacing(path) as part, zipfile.ZipFile(part, "w", allowZip64=True) as archive:
            archive.write(raw, "arr_0.npy")  # uncompressed, as np.savez writes it
            if labels:
                with archive.open("arr_1.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, torch.cat(labels).numpy())
    finally:
        raw.unlink(missing_ok=True)
