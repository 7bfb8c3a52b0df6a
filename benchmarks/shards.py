"""Reading shards: images per second, the first batch of a late step, bytes for each process.

    pip install webdataset
    python benchmarks/shards.py [--images 6000] [--rounds 5]

JPEG files of 256 x 256 in tars of 500, and the same rows in parquet files of 500, scaled down to
64 x 64. Our streamed sets and a plain loader (the webdataset library with a DataLoader of no and of
two workers, which decodes by the same function and shuffles 1,000 samples) run in turn, and the
figures are medians over rounds; beside the first round nothing waits for a disk, as the files are
in the system's memory. The late step is the last of the first epoch: the plain loader reads and
drops the samples before it, undecoded. Bytes are those read in an epoch by the process that reads
most, as a share of the shards' bytes, counted below a store in memory. Writes
benchmarks/shards.csv, which docs/data.md quotes.
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import fsspec
import numpy as np
import pyarrow
import torch
import webdataset
from _table import write
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from pyarrow import parquet
from torch.utils.data import DataLoader

from zoo.data import Parquet, WebDataset
from zoo.data.pixels import decoded_pixels
from zoo.data.stream import TrainStream

SHARD, BATCH, SIZE, WINDOW = 500, 40, 64, 1000


class Counted(MemoryFileSystem):
    """A store in memory that counts the bytes that are read."""

    protocol = "counted"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    bytes_read = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("counted://"))

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        content: bytes = super().cat_file(path, start=start, end=end)
        Counted.bytes_read += len(content)
        return content


def jpeg(number: int) -> bytes:
    """A smooth picture with some noise: about as many bytes as a photograph's."""
    draw = np.random.default_rng(number)
    coarse = Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    fine = np.asarray(coarse.resize((256, 256), Image.Resampling.BICUBIC), dtype=np.int16)
    noisy = (fine + draw.integers(-12, 13, fine.shape)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=85)
    return file.getvalue()


def tar_bytes(images: list[bytes], first: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for number, image in enumerate(images, start=first):
            for suffix, content in (("jpg", image), ("cls", b"%d" % (number % 10))):
                info = tarfile.TarInfo(f"{number:08}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def parquet_bytes(images: list[bytes], first: int) -> bytes:
    file = io.BytesIO()
    labels = [number % 10 for number in range(first, first + len(images))]
    table = pyarrow.table({"image": images, "label": labels})
    parquet.write_table(table, file, row_group_size=100, compression="none")
    return file.getvalue()


def stream(kind: str, files: str, start: int = 0, rank: int = 0, ranks: int = 1) -> TrainStream:
    """Our streamed set; its index is made at the first time."""
    target: Any = WebDataset if kind == "tar" else Parquet
    columns = {"tar": ("jpg", "cls"), "parquet": ("image", "label")}[kind]
    data = target(
        files, files, *columns, name=kind, image_size=SIZE, memory_limit_gb=0.0,
        shuffle_window=WINDOW, batch_size=BATCH,
    )  # fmt: skip
    data.setup()
    return TrainStream(data.train, "label", BATCH, 0, False, rank, ranks, start_step=lambda: start)


def decoded(sample: tuple[bytes, bytes]) -> tuple[torch.Tensor, int]:
    return decoded_pixels(sample[0], SIZE, 3), int(sample[1])


def plain(files: list[str], workers: int, skip: int = 0) -> Iterator[Any]:
    """The webdataset library: shards in a random order, a buffer of 1,000 samples, batches."""
    data = webdataset.WebDataset(
        files, shardshuffle=100, seed=0, empty_check=False, nodesplitter=webdataset.split_by_node
    )
    data = data.shuffle(WINDOW).to_tuple("jpg", "cls")
    if skip:
        data = data.slice(skip, 10**9)
    return iter(DataLoader(data.map(decoded), batch_size=BATCH, num_workers=workers))


def rate(batches: Iterator[Any], images: int) -> float:
    """Images per second, the start included."""
    begin, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch[0])
        if count >= images:
            break
    return count / (time.perf_counter() - begin)


def latency(batches: Callable[[], Iterator[Any]]) -> float:
    begin = time.perf_counter()
    next(batches())
    return time.perf_counter() - begin


def in_turn(measures: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Medians of figures that are measured one after another, in some rounds."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            values[name].append(measure())
    return {name: median(each) for name, each in values.items()}


def up_to(parts: Iterator[torch.Tensor], count: int) -> Iterator[torch.Tensor]:
    """The first parts that have so many samples together."""
    while count > 0:
        part = next(parts)
        count -= len(part)
        yield part


def share_of_bytes(kind: str, files: str, images: int, ranks: int) -> float:
    """The bytes of the process that reads most in an epoch, as a share of all shards'."""
    size, most = sum(len(f.getbuffer()) for f in Counted.store.values()), 0
    for rank in range(ranks):
        own = stream(kind, files, rank=rank, ranks=ranks)
        Counted.bytes_read = 0
        with own.images.ahead(up_to(own.order.shares(0, rank, ranks), images // ranks)) as ahead:
            for step in range(images // BATCH):
                own.batch(step, ahead)
        most = max(most, Counted.bytes_read)
    return most / size


def main() -> None:
    """Measures all of it and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    count, rounds = options.images // SHARD * SHARD, options.rounds
    fsspec.register_implementation("counted", Counted, clobber=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = f"{folder}/cache"
        makers = {"tar": tar_bytes, "parquet": parquet_bytes}
        images = [jpeg(number) for number in range(count)]
        for first in range(0, count, SHARD):
            for kind, make in makers.items():
                content = make(images[first : first + SHARD], first)
                Path(f"{folder}/{first // SHARD:03}.{kind}").write_bytes(content)
        pattern = f"{{000..{count // SHARD - 1:03}}}"
        tars = [f"{folder}/{number:03}.tar" for number in range(count // SHARD)]
        local = {kind: f"{folder}/{pattern}.{kind}" for kind in makers}
        late, some = count // BATCH - 1, count // 2
        rates = in_turn({
            **{f"streamed {k}": lambda k=k: rate(iter(stream(k, local[k])), some) for k in makers},
            "webdataset, no workers": lambda: rate(plain(tars, 0), some),
            "webdataset, 2 workers": lambda: rate(plain(tars, 2), some),
        }, rounds)  # fmt: skip
        first_batches = in_turn({
            **{f"streamed {k}": lambda k=k: latency(lambda: iter(stream(k, local[k], late)))
               for k in makers},
            "webdataset, no workers": lambda: latency(lambda: plain(tars, 0, late * BATCH)),
        }, rounds)  # fmt: skip
        rows += [{"figure": "images/s", "loader": k, "value": v} for k, v in rates.items()]
        rows += [{"figure": "seconds to the batch of a late step", "loader": k, "value": v}
                 for k, v in first_batches.items()]  # fmt: skip
        for kind in makers:
            Counted.store.clear()
            for file in sorted(Path(folder).glob(f"*.{kind}")):
                fsspec.filesystem("counted").pipe(f"/set/{file.name}", file.read_bytes())
            for ranks in (1, 2, 4):
                value = share_of_bytes(kind, f"counted://set/{pattern}.{kind}", count, ranks)
                name = f"streamed {kind}, {ranks} processes"
                rows.append({"figure": "share of bytes", "loader": name, "value": value})
    write(__file__, rows)


if __name__ == "__main__":
    main()
