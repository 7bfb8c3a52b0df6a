"""Tables written in order, block by block, so that a killed writer's work is taken up again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from torch import Tensor

from zoo.encodings.request import DTYPES, Request, Source
from zoo.encodings.table import Table, blocks, first_difference, header
from zoo.system.files import write_atomically
from zoo.system.progress import Meter

COMPLETE = "complete.json"
"""The file whose presence says that an entry is whole: written last, with every block's digest."""


def write_entry(folder: Path, request: Request) -> None:
    """Writes all tables of a request, or what an earlier writer left to do.

    A table is a hidden part, and its blocks' digests a hidden journal, until all are complete.

    Raises:
        ValueError: an encoding is not finite, or too large for the dtype.
        OSError: it cannot be written; what is there is taken up by the next call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digests: dict[str, list[str]] = {}
    kept = {name: _kept(folder, name, request) for name in request.sources}
    total = sum(source.num_items for source in request.sources.values())
    done = sum(
        sum(map(len, blocks(source.num_items)[: len(kept[name])]))
        for name, source in request.sources.items()
    )
    with Meter(total, f"writing {request.kind} of {request.about}", request.unit, done) as meter:
        for name, source in request.sources.items():
            digests[name] = _write_table(folder, name, request, source, kept[name], meter)
    for name in request.sources:
        _part(folder, f"{name}.npy").rename(folder / f"{name}.npy")
    tables = {name: Table.open(folder / f"{name}.npy") for name in request.sources}
    facts = {
        "identity": request.identity,
        "blocks": digests,
        "facts": request.facts(tables),
        "torch": str(torch.__version__),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    write_atomically(folder / COMPLETE, json.dumps({**facts, "sha256": digest}, indent=1))
    for name in request.sources:
        _part(folder, f"{name}.blocks").unlink(missing_ok=True)


def block_sizes(request: Request, source: Source) -> list[int]:
    """Bytes of each block of a table."""
    row = request.row_bytes * source.rows_per_item
    return [len(block) * row for block in blocks(source.num_items)]


def beginning(request: Request, source: Source) -> bytes:
    """What a table's file has before its first row."""
    return header((source.num_items * source.rows_per_item, *request.row_shape), request.dtype)


def _part(folder: Path, name: str) -> Path:
    return folder / f".{name}.0.part"


def _kept(folder: Path, name: str, request: Request) -> list[str]:
    """The digests of a part's blocks that are whole and of this request."""
    part, journal = _part(folder, f"{name}.npy"), _part(folder, f"{name}.blocks")
    table = folder / f"{name}.npy"
    if table.exists() and not part.exists():  # killed between the last two renames
        table.rename(part)
    try:
        key, *digests = journal.read_text().splitlines()
        source = request.sources[name]
        sizes = block_sizes(request, source)
        if key != request.key or len(digests) > len(sizes):
            return []
        what = f"checking {request.kind} written before"
        start, sizes = beginning(request, source), sizes[: len(digests)]
        return digests[: first_difference(part, start, sizes, digests, what)]
    except (OSError, ValueError):  # there is none, or it is torn
        return []


def _write_table(
    folder: Path, name: str, request: Request, source: Source, kept: list[str], meter: Meter
) -> list[str]:
    """Writes the blocks after those that are kept; the digests of all."""
    part, journal = _part(folder, f"{name}.npy"), _part(folder, f"{name}.blocks")
    write_atomically(journal, "".join(f"{line}\n" for line in (request.key, *kept)))
    digests, sizes = list(kept), block_sizes(request, source)
    with part.open("r+b" if kept else "wb") as file, journal.open("a") as lines:
        if not kept:
            file.write(beginning(request, source))
        file.truncate(len(beginning(request, source)) + sum(sizes[: len(kept)]))
        file.seek(0, os.SEEK_END)
        for block in blocks(source.num_items)[len(kept) :]:
            content = _bytes(source.encode(block), request, block, source.rows_per_item)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            digests.append(hashlib.sha256(content).hexdigest())
            lines.write(f"{digests[-1]}\n")
            lines.flush()
            meter.advance(len(block))
    return digests


def _bytes(rows: Tensor, request: Request, block: range, rows_per_item: int) -> bytes:
    stored = rows.to(DTYPES[request.dtype])
    if not stored.isfinite().all():
        row = int((~stored.flatten(1).isfinite().all(1)).nonzero()[0])
        cause = "it is not finite"
        if rows[row].isfinite().all():
            cause = f"it does not fit into {request.dtype}: set cache_dtype=float32"
        raise ValueError(
            f"{request.kind} of {request.about}: the encoding of number "
            f"{block.start + row // rows_per_item} cannot be kept, {cause}"
        )
    return stored.contiguous().numpy().tobytes()
