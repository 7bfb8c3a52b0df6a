"""Tar files of samples, in the layout of WebDataset."""

from __future__ import annotations

from typing import Any

from zoo.data.shards.sharded_data import ShardedData
from zoo.data.shards.tars import Tars


class WebDataset(ShardedData):
    """Tar shards in which the files of one sample share a stem: 0001.png, 0001.cls, 0001.txt.

    They are read where they are, and streamed where they are larger than ``memory_limit_gb``; see
    ``ShardedData``.

    Args:
        train_files: a path, an address or a pattern with braces or stars, or several of them.
        test_files: likewise, or None to hold ``test_fraction`` out.
        image_column: the images' suffix, without the dot, or several: jpg;png.
        label_column: the labels' suffix, or a field of a JSON file, json.label; None for none.
        caption_column: the captions' suffix, or a field with a sentence or several; None for none.
        options: see ``ShardedData``, ``EncodedData`` and ``ImageData``.
    """

    kind = Tars

    def __init__(
        self,
        train_files: str | list[str],
        test_files: str | list[str] | None = None,
        image_column: str = "png",
        label_column: str | None = None,
        caption_column: str | None = None,
        **options: Any,
    ) -> None:
        columns = image_column, label_column, caption_column
        super().__init__(train_files, test_files, columns, **options)
