"""Images in parquet files: a column of bytes, a label column, a caption column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.data.rows import Rows
from zoo.data.shards.parquets import Parquets
from zoo.data.shards.sharded_data import ShardedData
from zoo.data.source.values import captions, check_columns, image_bytes, labels


class Parquet(ShardedData):
    """Images in train and test parquet files, or in train files that are split.

    The image column holds encoded bytes, or the ``datasets`` library's struct of bytes and path.
    Files may be many, and anywhere that fsspec opens; what is larger than ``memory_limit_gb`` is
    streamed by row groups, see ``ShardedData``.

    Args:
        train_file: a path, an address or a pattern with braces or stars, or several of them;
            relative paths are looked for here, then under ``ZOO_DATA``.
        test_file: likewise; None holds ``test_fraction`` of the train files out.
        image_column: where the images are.
        label_column: integers or words, or None.
        caption_column: sentences, or lists of them (see ``Folder``), or None.
        options: see ``ShardedData``, ``EncodedData`` and ``ImageData``.
    """

    kind = Parquets

    def __init__(
        self,
        train_file: str | list[str],
        test_file: str | list[str] | None = None,
        image_column: str = "image",
        label_column: str | None = None,
        caption_column: str | None = None,
        **options: Any,
    ) -> None:
        columns = image_column, label_column, caption_column
        super().__init__(train_file, test_file, columns, **options)


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
