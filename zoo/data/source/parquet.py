"""Images in parquet files: a column of bytes, a label column, a caption column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo import paths
from zoo.data.encoded_data import EncodedData
from zoo.data.rows import Rows
from zoo.data.source.values import captions, check_columns, labels


class Parquet(EncodedData):
    """Images in a train and a test parquet file, or in one file that is split.

    The image column holds encoded bytes, or the ``datasets`` library's struct of bytes and path.

    Args:
        train_file: relative paths are looked for here, then under ``ZOO_DATA``.
        test_file: None holds ``test_fraction`` of the train file out.
        image_column: where the images are.
        label_column: integers or words, or None.
        caption_column: sentences, or lists of them (see ``Folder``), or None.
        options: see ``EncodedData`` and ``ImageData``.
    """

    def __init__(
        self,
        train_file: str,
        test_file: str | None = None,
        image_column: str = "image",
        label_column: str | None = None,
        caption_column: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.train_file, self.test_file = train_file, test_file
        self.columns = image_column, label_column, caption_column

    def rows(self) -> tuple[Rows, Rows | None]:
        """Both files' rows, read whole but still encoded."""
        test = None if self.test_file is None else self._read(self.test_file)
        return self._read(self.train_file), test

    def _read(self, file: str) -> Rows:
        path = paths.data(file, "parquet file", Path.is_file)
        return read_parquet(path, *self.columns)


def read_parquet(path: Path, image: str, label: str | None, caption: str | None) -> Rows:
    """The rows of one file; its images stay encoded.

    Raises:
        ValueError: it is no parquet file, a column is unknown, or a label or caption is missing
            or wrong; its row is named.
    """
    from pyarrow import parquet

    names = [column for column in (image, label, caption) if column is not None]
    check_columns(names, columns(path), path)
    table = parquet.read_table(path, columns=names)
    images = table[image]

    def where(index: int) -> str:
        return f"{path}, row {index}"

    return Rows(
        count=table.num_rows,
        read=lambda index: image_bytes(images[index].as_py()),
        where=where,
        labels=None if label is None else labels(table[label].to_pylist(), where, label),
        captions=None if caption is None else captions(table[caption].to_pylist(), where, caption),
    )


def columns(path: Path) -> list[str]:
    """The names of a parquet file's columns.

    Raises:
        ValueError: it is no parquet file.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        return list(parquet.read_schema(path).names)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as parquet: {error}") from error


def image_bytes(value: Any) -> bytes:
    """The encoded bytes of an image cell: bytes themselves, or a struct of bytes and path."""
    if isinstance(value, dict):
        if value.get("bytes") is None and value.get("path"):
            return Path(value["path"]).read_bytes()
        value = value.get("bytes")
    if not isinstance(value, bytes):
        raise ValueError(
            f"expected bytes or a struct of bytes and path, got {type(value).__name__}"
        )
    return value
