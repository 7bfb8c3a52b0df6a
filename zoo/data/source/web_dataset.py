"""Tar files of samples (the WebDataset layout), through the ``datasets`` library."""

from __future__ import annotations

from typing import Any

from zoo.data.encoded_data import EncodedData
from zoo.data.rows import Rows
from zoo.data.source.hub import load_rows


class WebDataset(EncodedData):
    """Tar shards in which the files of one sample share a stem: 0001.png, 0001.cls, 0001.txt.

    Args:
        train_files: path or glob pattern of the shards.
        test_files: path or pattern, or None to hold ``test_fraction`` out.
        image_column: the images' suffix, without the dot.
        label_column: the labels' suffix, or None.
        caption_column: the captions' suffix, or None.
        options: see ``EncodedData`` and ``ImageData``.
    """

    def __init__(
        self,
        train_files: str,
        test_files: str | None = None,
        image_column: str = "png",
        label_column: str | None = None,
        caption_column: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.train_files, self.test_files = train_files, test_files
        self.columns = image_column, label_column, caption_column

    def rows(self) -> tuple[Rows, Rows | None]:
        """Both splits' samples, unpacked once into the library's cache."""
        test = None if self.test_files is None else self._load("test", self.test_files)
        return self._load("train", self.train_files), test

    def _load(self, split: str, files: str) -> Rows:
        source = {"path": "webdataset", "data_files": {split: files}}
        return load_rows(source, split, *self.columns)[0]
