"""Images in a folder: labels from sub-folders or from a metadata file, captions from a column."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from PIL import Image

from zoo import paths
from zoo.data.encoded_data import EncodedData
from zoo.data.rows import Rows
from zoo.data.source.parquet import check_columns, check_complete

METADATA = ("metadata.csv", "metadata.jsonl")
FILE_NAME = "file_name"
"""The metadata column that says which image a line is about, as in ``datasets``' image folders."""


class Folder(EncodedData):
    """Images in ``folder/train`` and ``folder/test``, or in one folder that is split.

    A split with a metadata.csv or metadata.jsonl holds the images that it lists (``file_name``),
    in its order; other splits hold all images below them, sorted by path, and where these lie in
    sub-folders, the sub-folders' names are the classes.

    Args:
        folder: relative paths are looked for here, then under ``ZOO_DATA``.
        label_column: the metadata's column of integers or words; None takes the sub-folders, and
            no labels where there is metadata.
        caption_column: the metadata's column of sentences, or None.
        options: see ``EncodedData`` and ``ImageData``.
    """

    def __init__(
        self,
        folder: str,
        label_column: str | None = None,
        caption_column: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.folder, self.columns = folder, (label_column, caption_column)

    def rows(self) -> tuple[Rows, Rows | None]:
        """The files of both splits, or of the only one."""
        root = paths.data(self.folder, "folder", Path.is_dir)
        if (root / "train").is_dir() and (root / "test").is_dir():
            return self._read(root / "train"), self._read(root / "test")
        return self._read(root), None

    def _read(self, root: Path) -> Rows:
        return read_folder(root, *self.columns)


def read_folder(root: Path, label_column: str | None, caption_column: str | None) -> Rows:
    """The images of one split.

    Raises:
        ValueError: there are none, or the metadata lack a column.
    """
    metadata = next((root / name for name in METADATA if (root / name).is_file()), None)
    if metadata is not None:
        return _from_metadata(root, metadata, label_column, caption_column)
    if label_column is not None or caption_column is not None:
        raise ValueError(f"columns need {' or '.join(METADATA)} in {root}, which has neither")
    suffixes = Image.registered_extensions()
    files = sorted(path for path in root.rglob("*") if path.is_file())
    images = [path for path in files if path.suffix.lower() in suffixes]
    if not images:
        raise ValueError(
            f"no images in {root}: {len(files)} files, none with a known suffix such as .png, .jpg"
        )
    return _files(images, _folder_names(root, images))


def _folder_names(root: Path, images: list[Path]) -> list[str] | None:
    labels = [path.relative_to(root).parts[0] for path in images if path.parent != root]
    if not labels:
        return None
    if len(labels) < len(images):
        stray = next(path for path in images if path.parent == root)
        raise ValueError(f"sub-folders of {root} name the classes, but {stray.name} is in none")
    return labels


def _from_metadata(
    root: Path, metadata: Path, label_column: str | None, caption_column: str | None
) -> Rows:
    lines = _csv(metadata) if metadata.suffix == ".csv" else _jsonl(metadata)
    if not lines:
        raise ValueError(f"{metadata} lists no images")
    names = [name for name in (FILE_NAME, label_column, caption_column) if name is not None]
    check_columns(names, sorted({name for line in lines for name in line}), metadata)
    column = {
        name: check_complete([line.get(name) for line in lines], metadata, name) for name in names
    }
    labels = None if label_column is None else column[label_column]
    if (
        labels is not None
        and metadata.suffix == ".csv"
        and all(text.isdecimal() for text in labels)
    ):
        labels = [int(text) for text in labels]  # a csv knows words only
    captions = None if caption_column is None else column[caption_column]
    return _files([root / name for name in column[FILE_NAME]], labels, captions)


def _csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [dict(line) for line in csv.DictReader(file)]


def _jsonl(path: Path) -> list[dict[str, Any]]:
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text) if text.strip() else None
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        if line is not None:
            if not isinstance(line, dict):
                raise ValueError(f"{path}, line {number}: expected an object, got {text[:40]}")
            lines.append(line)
    return lines


def _files(
    images: list[Path], labels: list[Any] | None = None, captions: list[str] | None = None
) -> Rows:
    return Rows(
        count=len(images),
        read=lambda index: images[index].read_bytes(),
        where=lambda index: str(images[index]),
        labels=labels,
        captions=captions,
    )
