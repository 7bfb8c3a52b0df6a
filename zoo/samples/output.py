"""The files of ``zoo sample``: images, and how they were made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from zoo.records import Raw
from zoo.samples.place import ARRAYS, Place
from zoo.system.files import replacing, write_atomically
from zoo.system.picture import (
    check_picture,
    encoded,
    grid_size,
    image_grid,
    save_png,
)
from zoo.system.text import csv_text


def write(
    place: Place, images: Tensor, facts: dict[str, Any], rows: Sequence[dict[str, Any]]
) -> Path:
    """Writes images and sidecar, each whole or not at all.

    Args:
        place: where to.
        images: (N, C, H, W) uint8.
        facts: of all images, in plain values.
        rows: of each image: "index", "seed" and perhaps "label" or "text", and "negative".

    Returns:
        What was written: the place's path, or the next free name if it was taken meanwhile.
    """
    place = place.next_free()
    place.path.parent.mkdir(parents=True, exist_ok=True)
    if place.is_folder:
        with _new_folder(place.path) as part:
            for index, image in enumerate(images):
                save_png(image, part / _file_name(index))
            (part / "metadata.csv").write_text(_metadata(rows), encoding="utf-8", newline="")
            (part / place.sidecar.name).write_text(_json(facts, rows), encoding="utf-8")
        return place.path
    write_atomically(place.sidecar, _json(facts, rows))
    if place.path.suffix.lower() == ARRAYS:
        with replacing(place.path) as part, part.open("wb") as file:
            np.savez(file, **_arrays(images, rows))
    else:
        grid = image_grid(images, place.columns)
        write_atomically(place.path, encoded(grid, place.path.suffix))
    return place.path


def check_size(place: Place, num_images: int, shape: Sequence[int]) -> None:
    """Raises ValueError where a grid of so many images (C, H, W) is too large for its format."""
    if not place.is_folder and place.path.suffix.lower() != ARRAYS:
        check_picture(place.path, *grid_size(num_images, shape[1], shape[2], place.columns))


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """Gives a folder beside ``path`` to fill, which gets its name at the end."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.mkdir()
        yield part
        if path.is_dir():  # an empty one
            path.rmdir()
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _file_name(index: int) -> str:
    return f"{index:06}.png"


def _metadata(rows: Sequence[dict[str, Any]]) -> str:
    """The table that ``data=folder`` reads: an image's file, label or text, and its draws."""
    heads = [key for key in rows[0] if not (key == "text" and not any(r[key] for r in rows))]
    lines = ([_file_name(i), *(row[head] for head in heads)] for i, row in enumerate(rows))
    return csv_text(["file_name", *heads], lines)


def _arrays(images: Tensor, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """OpenAI's layout, with captions as unicode; nothing is pickled."""
    arrays = {"arr_0": images.permute(0, 2, 3, 1).contiguous().numpy()}
    if "label" in rows[0]:
        arrays["arr_1"] = np.array([row["label"] for row in rows], dtype=np.int64)
    if "text" in rows[0]:
        arrays["captions"] = np.array([row["text"] for row in rows], dtype=np.str_)
    return arrays


def _json(facts: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """The facts, indented, and a line for each image."""
    head = json.dumps(facts, indent=2, ensure_ascii=False).removesuffix("\n}")
    lines = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in rows)
    return f'{head},\n  "images": [\n{lines}\n  ]\n}}\n'


def rows_of(seed: int, num_images: int, condition: Raw, negative: Raw) -> list[dict[str, Any]]:
    """What each image was drawn with, in plain values.

    Args:
        seed: of all draws.
        num_images: N.
        condition: N labels or captions, or None.
        negative: as ``condition``, in place of the null condition.
    """
    rows: list[dict[str, Any]] = [{"index": i, "seed": seed} for i in range(num_images)]
    for kind, values in (("condition", condition), ("negative", negative)):
        if values is None:
            continue
        plain = values.tolist() if isinstance(values, Tensor) else list(values)
        name = "text" if isinstance(plain[0], str) else "label"
        for row, value in zip(rows, plain, strict=True):
            row[name if kind == "condition" else kind] = value
    return rows
