"""Parquet files of encoded images, read by row groups."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from threading import Lock
from typing import Any

import numpy as np

from zoo.data.shards.index import Index, Scan
from zoo.data.shards.source import Read, Sample, Shards
from zoo.data.shards.store import Blocks, ShardFile
from zoo.data.source.values import check_columns

_FOOTERS = 32  # of files, held in memory
_HELD = 1 << 28  # bytes of row groups held for readers of single images


class Parquets(Shards):
    """Parquet shards; see ``Shards``. Images are bytes, or structs of bytes and path."""

    what = "parquet file"

    def __init__(self, patterns: str | Sequence[str], *columns: Any, **options: Any) -> None:
        self._footer = lru_cache(_FOOTERS)(self._read_footer)
        self._groups: OrderedDict[tuple[int, int, bool], tuple[int, list[Sample]]] = OrderedDict()
        self._lock, self._opening = Lock(), Lock()
        super().__init__(patterns, *columns, **options)

    def scan(self) -> Scan:
        columns = [c for c in (self.image, self.label, self.caption) if c is not None]
        return partial(scan_parquet, columns=columns, label=self.label)

    def check(self) -> None:
        """Raises ValueError where there are no rows; columns were looked for in every file."""
        if not self.counts.sum():
            raise ValueError(f"{self.files[0].path}: there are no images in it, nor in any other")

    def edges(self, shard: int) -> np.ndarray:
        edges: np.ndarray = self.index(shard).arrays["edges"]
        return edges

    def whole(self, shard: int) -> None:
        """Images that are missing are met when they are read."""
        return

    def where(self, shard: int, ordinal: int) -> str:
        return f"{self.files[shard].path}, row {ordinal}"

    def reads(self, shard: int, ordinals: np.ndarray, images: bool = True) -> list[Read]:
        edges = self.edges(shard)
        groups = np.searchsorted(edges, ordinals, side="right") - 1
        pieces = []
        for group in np.unique(groups).tolist():
            rows = ordinals[groups == group]
            size = int(self.index(shard).arrays["sizes"][group])
            load = partial(self._samples, shard, group, rows - edges[group], images)
            pieces.append(Read(shard, rows, size, load))
        return pieces

    def _samples(self, shard: int, group: int, rows: np.ndarray, images: bool) -> list[Sample]:
        """Some rows of a group; the group is held where few of them are wanted."""
        key = (shard, group, images)
        with self._lock:
            if key in self._groups:
                self._groups.move_to_end(key)
                samples = self._groups[key][1]
                return [samples[row] for row in rows.tolist()]
        edges = self.edges(shard)
        few = 2 * len(rows) < edges[group + 1] - edges[group]
        samples = self._group(shard, group, images, None if few else rows)
        if not few:
            return samples
        size = sum(sample.size for sample in samples)
        with self._lock:
            self._groups[key] = (size, samples)
            while len(self._groups) > 1 and sum(s for s, _ in self._groups.values()) > _HELD:
                self._groups.popitem(last=False)
        return [samples[row] for row in rows.tolist()]

    def _group(self, shard: int, group: int, images: bool, rows: np.ndarray | None) -> list[Sample]:
        columns = [self.image] if images else []
        columns += [self.caption] if self.caption is not None else []
        file = self.files[shard]
        with reader(file, self.footer(shard)) as opened, _reading(file):
            table = opened.read_row_group(group, columns=columns, use_threads=False)
        if rows is not None:
            table = table.take(rows)
        missing = [None] * table.num_rows
        cells = [_encoded(cell) for cell in table[self.image].to_pylist()] if images else missing
        texts = missing if self.caption is None else table[self.caption].to_pylist()
        return [Sample(image, text) for image, text in zip(cells, texts, strict=True)]

    def footer(self, shard: int) -> Any:
        """pyarrow's metadata of a file, read once however many threads ask for it."""
        with self._opening:
            return self._footer(shard)

    def _read_footer(self, shard: int) -> Any:
        with _reading(self.files[shard]), reader(self.files[shard]) as opened:
            return opened.metadata


def scan_parquet(file: ShardFile, columns: Sequence[str], label: str | None) -> Index:
    """Reads a parquet file's footer and its labels.

    Returns:
        An index with the ``edges`` of its row groups, their ``sizes`` in bytes, and each row's
        ``label`` by its place among the facts' labels.

    Raises:
        ValueError: it is no parquet file, or a column is unknown.
    """
    with _reading(file), reader(file) as opened:
        metadata = opened.metadata
        check_columns(columns, list(opened.schema_arrow.names), file.path)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        chunks = [[g.column(i) for i in range(g.num_columns)] for g in groups]
        values: list[Any] = []
        codes = np.zeros(metadata.num_rows, np.int32)
        if label is not None and metadata.num_rows:
            column = opened.read(columns=[label], use_threads=False)[label].combine_chunks()
            values, codes = _coded(column)
    digest = hashlib.sha256(json.dumps(values).encode())
    for chunk in (chunk for group in chunks for chunk in group):
        statistics = chunk.statistics and chunk.statistics.to_dict()
        sizes = [chunk.num_values, chunk.total_compressed_size, chunk.total_uncompressed_size]
        described = json.dumps([chunk.path_in_schema, sizes, statistics], default=str)
        digest.update(described.encode())
    digest.update(codes.tobytes())
    first = {code: row for row, code in reversed(list(enumerate(codes.tolist())))}
    wanted = [sum(c.total_compressed_size for c in group
                  if c.path_in_schema.split(".")[0] in columns) for group in chunks]  # fmt: skip
    arrays = {
        "edges": np.cumsum([0, *(group.num_rows for group in groups)]),
        "sizes": np.array(wanted, np.int64),
        "label": codes,
    }
    facts = {
        "digest": digest.hexdigest(),
        "labels": values,
        "rows": [first[code] for code in range(len(values))],
    }
    return Index(metadata.num_rows, arrays, facts)


def _coded(column: Any) -> tuple[list[Any], np.ndarray]:
    """The different values of a column of labels, and the place of each row's among them."""
    places: dict[tuple[str, str], int] = {}
    values: list[Any] = []
    codes = np.zeros(len(column), np.int32)
    for row, value in enumerate(column.to_pylist()):
        key = (type(value).__name__, repr(value))
        if key not in places:
            places[key] = len(values)
            values.append(_plain(value))
        codes[row] = places[key]
    return values, codes


def _encoded(cell: Any) -> Any:
    """The bytes in a cell, out of a struct where it has them."""
    inside = cell.get("bytes") if isinstance(cell, dict) else None
    return cell if inside is None else inside


def _plain(value: Any) -> Any:
    """A label as JSON holds it; what is none is refused later, by its text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, str | int | float | None):
        return value
    return (
        int(value) if hasattr(value, "as_tuple") and value == value.to_integral() else repr(value)
    )


def reader(file: ShardFile, footer: Any = None) -> Any:
    """pyarrow's reader of a shard, a context manager; the footer is read where it is not given."""
    from pyarrow import parquet

    source = file.path if file.local else Blocks(file)
    return parquet.ParquetFile(source, metadata=footer, pre_buffer=not file.local)


@contextmanager
def _reading(file: ShardFile) -> Iterator[None]:
    """Turns pyarrow's errors into one that names the shard."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{file.path} cannot be read as parquet: {error}") from error
