from __future__ import annotations

import io
import itertools
import os
import tarfile
import time

import fsspec
import pyarrow
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import parquet

from zoo.data import Parquet, WebDataset
from zoo.data.shards import store

SIZES = (70, 0, 300, 5, 129)  # of shards: unequal, one empty, some of several blocks


def tar_bytes(files):
    """A tar of (name, content) pairs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Counted(MemoryFileSystem):
    """A store in memory that counts what is read, and fails when it is told to."""

    protocol = "counted"
    store: dict = {}
    pseudo_dirs = [""]
    ranges: list = []
    failures: list = []

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("counted://"))

    def cat_file(self, path, start=None, end=None, **kwargs):
        if self.failures:
            raise self.failures.pop()
        content = super().cat_file(path, start=start, end=end, **kwargs)
        self.ranges.append((path, start, end))
        return content


fsspec.register_implementation("counted", Counted, clobber=True)


@pytest.fixture(autouse=True)
def empty_store(monkeypatch):
    monkeypatch.setattr(store, "_WAIT", 0.001)
    Counted.store.clear()
    Counted.ranges.clear()
    Counted.failures.clear()


@pytest.fixture
def samples(png):
    """Makes N samples whose pixels, class and caption tell their number."""

    def make(count, first=0):
        return [(png(i % 256), i % 3, f"image {i}") for i in range(first, first + count)]

    return make


@pytest.fixture(params=["tar", "parquet"])
def kind(request):
    return request.param


@pytest.fixture
def write(samples, tmp_path):
    """Writes shards of samples, here or into the counted store; gives their pattern."""

    def write(kind, sizes=SIZES, where="here", name="set", group=50, padding=0):
        numbers = itertools.accumulate(sizes, initial=0)
        for shard, (size, first) in enumerate(zip(sizes, numbers, strict=False)):
            rows = [(image + os.urandom(padding), *rest) for image, *rest in samples(size, first)]
            if kind == "tar":
                content = tar_bytes(
                    (f"folder/{i:05}.{suffix}", part)
                    for i, (image, label, text) in enumerate(rows)
                    for suffix, part in (
                        ("png", image), ("cls", str(label).encode()), ("txt", text.encode()),
                    )
                )  # fmt: skip
            else:
                columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
                types = [pyarrow.binary(), pyarrow.int64(), pyarrow.string()]
                arrays = [pyarrow.array(c, t) for c, t in zip(columns, types, strict=True)]
                buffer = io.BytesIO()
                table = pyarrow.table(arrays, names=["image", "label", "text"])
                parquet.write_table(table, buffer, row_group_size=group)
                content = buffer.getvalue()
            if where == "here":
                folder = tmp_path / name
                folder.mkdir(exist_ok=True)
                (folder / f"{shard:03}.{kind}").write_bytes(content)
            else:
                fsspec.filesystem(where).pipe(f"/{name}/{shard:03}.{kind}", content)
        braces = f"{{000..{len(sizes) - 1:03}}}.{kind}"
        return f"{tmp_path / name}/{braces}" if where == "here" else f"{where}://{name}/{braces}"

    return write


@pytest.fixture
def opened():
    """A data set of shards that ``write`` wrote; streamed unless it is told otherwise."""

    def opened(kind, train, test=None, **options):
        of = {"tar": (WebDataset, "cls", "txt"), "parquet": (Parquet, "label", "text")}
        target, label, caption = of[kind]
        options = {
            "label_column": label, "caption_column": caption, "name": "made", "image_size": 8,
            "batch_size": 16, "shuffle_window": 100, "memory_limit_gb": 0.0,
            "condition": "none", **options,
        }  # fmt: skip
        made = target(train, test, **options)
        made.setup()
        return made

    return opened


def settled(condition, seconds=5.0):
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()
