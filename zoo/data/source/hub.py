"""Data sets by their name on the Hugging Face hub, or anything its library can load."""

from __future__ import annotations

from typing import Any

from zoo.data.encoded_data import EncodedData
from zoo.data.rows import Rows
from zoo.data.source.values import captions, check_columns, image_bytes, labels


class Hub(EncodedData):
    """A data set of the ``datasets`` library: a name on the hub, or a folder that it can load.

    Args:
        path: the first argument of ``datasets.load_dataset``.
        subset: the name of a configuration, where there are several.
        revision: a commit or tag on the hub.
        train_split: name of the train split.
        test_split: name of the test split; None holds ``test_fraction`` out.
        image_column: where the images are.
        label_column: class labels, integers or words, or None.
        caption_column: sentences, or lists of them (see ``Folder``), or None.
        options: see ``EncodedData`` and ``ImageData``.
    """

    def __init__(
        self,
        path: str,
        subset: str | None = None,
        revision: str | None = None,
        train_split: str = "train",
        test_split: str | None = "test",
        image_column: str = "image",
        label_column: str | None = None,
        caption_column: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.source = {"path": path, "name": subset, "revision": revision}
        self.train_split, self.test_split = train_split, test_split
        self.columns = image_column, label_column, caption_column

    def prepare_data(self) -> None:
        """Downloads once, before other processes read."""
        self._load(self.train_split)

    def rows(self) -> tuple[Rows, Rows | None]:
        """Both splits' rows, memory-mapped by the library."""
        test = None if self.test_split is None else self._load(self.test_split)
        return self._load(self.train_split), test

    def _load(self, split: str) -> Rows:
        rows, names = load_rows(self.source, split, *self.columns)
        self.names = self.names or names
        return rows


def load_rows(
    source: dict[str, Any], split: str, image: str, label: str | None, caption: str | None
) -> tuple[Rows, tuple[str, ...]]:
    """One split of ``datasets.load_dataset(**source)``, and the class names that it knows.

    Raises:
        ValueError: it cannot be loaded, a column is unknown, or a label or caption is missing or
            wrong; its row is named.
    """
    import datasets

    place = f"{source['path']}[{split}]"
    try:
        table = datasets.load_dataset(**source, split=split)
    except Exception as error:  # the library raises its own errors, the network's and the hub's
        raise ValueError(f"{place} cannot be loaded: {type(error).__name__}: {error}") from error
    columns = [column for column in (image, label, caption) if column is not None]
    check_columns(columns, table.column_names, place)
    names = tuple(getattr(table.features[label], "names", None) or ()) if label else ()
    encoded = table.select_columns([image]).cast_column(image, datasets.Image(decode=False))

    def where(index: int) -> str:
        return f"{place}, row {index}"

    rows = Rows(
        count=len(table),
        read=lambda index: image_bytes(encoded[index][image]),
        where=where,
        labels=labels(list(table[label]), where, label) if label else None,
        captions=captions(list(table[caption]), where, caption) if caption else None,
    )
    return rows, names
