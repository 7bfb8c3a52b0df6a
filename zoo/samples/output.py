"""The files of ``zoo sample``: their names, which are never taken twice, and their content."""

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

from zoo.data.source.files import SAMPLES
from zoo.records import Raw
from zoo.system.files import replacing, write_atomically
from zoo.system.picture import (
    SUFFIXES,
    check_picture,
    encoded,
    grid_size,
    image_grid,
    save_png,
)
from zoo.system.text import csv_text

_ARRAYS = ".npz"


class Output:
    """A grid, an ``.npz`` or a folder, and beside it a sidecar that says how it was made.

    Args:
        path: a picture's, an ``.npz``, or a folder's, which has another suffix or none.
        is_folder: whether ``path`` is a folder's.
        columns: of a grid; a square when None.
    """

    def __init__(self, path: Path, is_folder: bool, columns: int | None = None) -> None:
        self.path, self.is_folder, self.columns = path, is_folder, columns

    @property
    def sidecar(self) -> Path:
        """``samples.json`` in a folder, else ``NAME.SUFFIX.json`` beside the file."""
        if self.is_folder:
            return self.path / SAMPLES
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def is_free(self) -> bool:
        """Whether writing replaces nothing; an empty folder is free."""
        if self.is_folder and self.path.is_dir():
            return not any(self.path.iterdir())
        return not self.path.exists() and (self.is_folder or not self.sidecar.exists())

    def next_free(self) -> Output:
        """This one, or the first free of ``NAME-2``, ``NAME-3``, ..."""
        output, number = self, 1
        while not output.is_free:
            number += 1
            suffix = "" if self.is_folder else self.path.suffix
            name = f"{self.path.name.removesuffix(suffix)}-{number}{suffix}"
            output = Output(self.path.with_name(name), self.is_folder, self.columns)
        return output

    def write(self, images: Tensor, facts: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Path:
        """Writes images and sidecar, each whole or not at all.

        Args:
            images: (N, C, H, W) uint8.
            facts: of all images, in plain values.
            rows: of each image: "index", "seed" and perhaps "label" or "text", and "negative".

        Returns:
            What was written: ``path``, or the next free name if it was taken meanwhile.
        """
        output = self.next_free()
        output.path.parent.mkdir(parents=True, exist_ok=True)
        if output.is_folder:
            with _new_folder(output.path) as part:
                for index, image in enumerate(images):
                    save_png(image, part / _file_name(index))
                (part / "metadata.csv").write_text(_metadata(rows), encoding="utf-8", newline="")
                (part / output.sidecar.name).write_text(_json(facts, rows), encoding="utf-8")
            return output.path
        write_atomically(output.sidecar, _json(facts, rows))
        if output.path.suffix.lower() == _ARRAYS:
            with replacing(output.path) as part, part.open("wb") as file:
                np.savez(file, **_arrays(images, rows))
        else:
            grid = image_grid(images, output.columns)
            write_atomically(output.path, encoded(grid, output.path.suffix))
        return output.path


def output_at(out: str, columns: int | None = None) -> Output:
    """The output that ``out=`` names, checked before anything is drawn.

    Raises:
        ValueError: it is there already, has a suffix that is not written, or lies where nothing can
            be written.
    """
    path = Path(out).expanduser()
    suffix = path.suffix.lower()
    is_folder = out.endswith(("/", os.sep)) or path.is_dir() or not suffix
    if not is_folder and suffix not in (*SUFFIXES, _ARRAYS):
        raise ValueError(
            f"out={out}: files are {', '.join(SUFFIXES)} (a grid) or {_ARRAYS} (arrays); the name "
            "of a folder has no suffix, or ends in /"
        )
    output = Output(path, is_folder, columns)
    if not output.is_free:
        taken = "it" if path.exists() else output.sidecar
        raise ValueError(
            f"out={out}: {taken} is there already, and nothing is overwritten: give another name, "
            "or leave out= away, which takes the next free one"
        )
    _check_place(path, out)
    return output


def check_size(output: Output, num_images: int, shape: Sequence[int]) -> None:
    """Raises ValueError where a grid of so many images (C, H, W) is too large for its format."""
    if not output.is_folder and output.path.suffix.lower() != _ARRAYS:
        check_picture(output.path, *grid_size(num_images, shape[1], shape[2], output.columns))


def _check_place(path: Path, out: str) -> None:
    place = next(folder for folder in path.absolute().parents if folder.exists())
    if not place.is_dir():
        raise ValueError(f"out={out}: {place} is a file, not a folder")
    if not os.access(place, os.W_OK):
        raise ValueError(f"out={out}: {place} cannot be written to")


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
