"""Images in a folder or a zip, with labels and captions from sub-folders or a metadata file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo import paths
from zoo.data.encoded_data import EncodedData
from zoo.data.rows import Rows
from zoo.data.source import layout
from zoo.data.source.files import METADATA, Files, suffixes
from zoo.data.source.listing import is_place, open_files
from zoo.data.source.metadata import listed
from zoo.data.source.table import read_table


class Folder(EncodedData):
    """Images in one folder, or zip, that is split, or in one with a folder for each split.

    Folders are splits where one is for training and another is held out: ``train/`` beside
    ``test/`` or ``val/`` (``valid/``, ``validation/`` ...), in small or capital letters.

    A set with a metadata.csv, .tsv, .jsonl or .parquet at its top, or at that of its split, holds
    the images that it lists (``file_name``), in its order; lines about one image are joined, and
    their captions are all its captions. Other sets hold all images below them, folder by folder,
    and where these lie in several sub-folders, the sub-folders' names are the classes. Folders that
    wrap the whole set are no classes. Links are followed; hidden and system files never count.

    Args:
        folder: or zip; relative paths are looked for here, then under ``ZOO_DATA``.
        label_column: the metadata's column of integers or words; None takes the sub-folders, and
            no labels where there is metadata.
        caption_column: the metadata's column of sentences, or of lists of them, or None. Of
            several captions training draws one for each image and epoch; other uses take the first.
        test_split: "test" or "validation", which folder is held out; None takes test where there
            is one.
        options: see ``EncodedData`` and ``ImageData``.
    """

    def __init__(
        self,
        folder: str,
        label_column: str | None = None,
        caption_column: str | None = None,
        test_split: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if test_split not in (None, layout.TEST, layout.VALIDATION):
            raise ValueError(f"test_split is test, validation or null, got {test_split!r}")
        self.folder, self.test_split = folder, test_split
        self.columns = label_column, caption_column

    def rows(self) -> tuple[Rows, Rows | None]:
        """The files of both splits, or of the only one.

        Raises:
            ValueError: there are no images, or metadata and layout leave open what is meant.
        """
        files = layout.unwrapped(open_files(paths.data(self.folder, "folder", is_place)))
        splits = layout.splits_of(files)
        if not splits and self.test_split is None:
            return self._read([files])[0], None
        chosen = layout.chosen_splits(files, splits, self.test_split)
        sets = [_with_metadata(files.below(folder)) for folder in chosen]
        name = layout.metadata_of(files)
        if name is None:
            train, test = self._read(sets)
            return train, test
        if any(layout.metadata_of(files) for files in sets):
            raise ValueError(f"{files.place} has a {name}, and so has one of its splits: keep one")
        train, test = (self._listed(files, name, f"{folder}/") for folder in chosen)
        return train, test

    def _read(self, sets: Sequence[Files]) -> list[Rows]:
        """Each set by its metadata, or by its sub-folders, which are the same in all of them."""
        pairs = [(files, layout.metadata_of(files)) for files in sets]
        by_folder = [files for files, metadata in pairs if metadata is None]
        for files in by_folder:
            refuse_empty(files)
            if any(self.columns):
                raise _no_metadata(files)
        labels = iter(layout.class_names(by_folder))
        return [
            rows_of(files, files.images, next(labels))
            if metadata is None
            else self._listed(files, metadata)
            for files, metadata in pairs
        ]

    def _listed(self, files: Files, metadata: str, start: str = "") -> Rows:
        """The listed images whose names begin with the path of a folder."""
        table = read_table(files, metadata)
        images = listed(files, table, *self.columns, self.decoder.on_broken)
        below = [i for i, name in enumerate(images.names) if name.startswith(start)]
        return rows_of(files, *images).select(below)


def rows_of(
    files: Files,
    names: Sequence[str],
    labels: Sequence[int] | Sequence[str] | None = None,
    captions: Sequence[str | tuple[str, ...]] | None = None,
) -> Rows:
    """Some images among files, still encoded."""
    return Rows(
        count=len(names),
        read=lambda index: files.read(names[index]),
        where=lambda index: files.where(names[index]),
        labels=labels,
        captions=captions,
    )


def refuse_empty(files: Files) -> None:
    """Raises ValueError where no file is an image; the message counts the others."""
    if not files.images:
        raise ValueError(
            f"no images in {files.place}: {len(files.names)} files, none with a known suffix such "
            f"as .png, .jpg ({suffixes(files.names) or 'it is empty'})"
        )


def _with_metadata(files: Files) -> Files:
    """The files below the wrappers of a split, if there is metadata."""
    inside = layout.unwrapped(files)
    return files if layout.metadata_of(inside) is None else inside


def _no_metadata(files: Files) -> ValueError:
    deeper = [name for name in files.names if name.lower().endswith(METADATA)]
    there = f"only {deeper[0]}, which belongs to the top" if deeper else "none of them"
    return ValueError(
        f"columns need {', '.join(METADATA[:-1])} or {METADATA[-1]} in "
        f"{files.place}, which has {there}"
    )
