"""A tar's table of contents: which bytes are whose image, label and caption."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.data.shards.column import Column, member_parts
from zoo.data.shards.index import Index
from zoo.data.shards.store import Blocks, ShardFile
from zoo.data.source.values import captions

_BLOCK = {True: 1 << 14, False: 1 << 22}  # bytes at a time, of a file here or in a store
_HEAD = 512  # of a file's content that its digest covers; tars are padded to that
_PACKED = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstandard",
    b"PK\x03\x04": "zip",
}  # fmt: skip


@dataclass
class _Sample:
    """A sample's members: their places in the tar, and its label."""

    members: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    label: Any = None


def scan_tar(
    file: ShardFile, image: Sequence[str], label: Column | None, caption: Column | None
) -> Index:
    """Reads a tar's headers, labels and captions, not its images.

    Files of one sample share their name up to the first dot after the last slash, wherever they lie
    in the tar; samples are in the order of their first files.

    Returns:
        An index whose arrays have a row for each sample: ``image`` and ``caption``, the places
        (N, 2) of their first and behind their last byte, -1 where there is none, and ``label``, its
        place among the facts' labels; ``names`` are the images', or the samples' where there is no
        image, joined by null bytes.

    Raises:
        ValueError: it is no plain tar, it is cut off, a file is there twice, or a caption is
            missing or wrong; the file in it is named.
    """
    samples: dict[str, _Sample] = {}
    digest = hashlib.sha256()
    blocks = Blocks(file, _BLOCK[file.local])
    if file.size == 0:
        raise ValueError(f"{file.path} is empty: it has not even a tar's end")
    first = blocks.read(6)
    packed = next((kind for mark, kind in _PACKED.items() if first.startswith(mark)), None)
    if packed is not None:
        raise ValueError(
            f"{file.path} is a {packed} file: shards are read in pieces, so they are plain tars "
            "(unpack it; images are compressed already)"
        )
    blocks.seek(0)
    try:
        with tarfile.open(fileobj=blocks, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # which would hold every header
                parts = member_parts(member.name) if member.isreg() else None
                if parts is None:
                    continue
                if member.issparse() or member.offset_data + member.size > file.size:
                    raise tarfile.ReadError(f"{member.name} is sparse or cut off")
                sample = samples.setdefault(parts[0], _Sample())
                digest.update(_entered(sample, parts[1], member, blocks, (label, caption)))
            blocks.seek(tar.offset)
            if blocks.read(_HEAD).strip(b"\0"):  # where tarfile stops without a word
                raise tarfile.ReadError(f"it is damaged at byte {tar.offset:,}")
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{file.path} cannot be read as tar: {error}") from error
    except _Unfit as error:
        raise ValueError(f"{file.path}, {error}") from error
    return _index(file, samples, digest.hexdigest(), image, label, caption)


class _Unfit(ValueError):
    """A member that cannot be used, by its name."""


def _entered(
    sample: _Sample,
    suffix: str,
    member: tarfile.TarInfo,
    blocks: Blocks,
    columns: tuple[Column | None, Column | None],
) -> bytes:
    """Adds a member to its sample; the bytes that stand for it in the shard's digest."""
    start, name = member.offset_data, member.name
    if suffix in sample.members:
        raise _Unfit(f"{name}: there twice, but a sample has one file of each suffix")
    sample.members[suffix] = (name, start, start + member.size)
    label, caption = (column if column and column.suffix == suffix else None for column in columns)
    blocks.seek(start)
    content = blocks.read(member.size if label or caption else min(member.size, _HEAD))
    try:
        if label:
            sample.label = label.value(content)
        text = caption.value(content) if caption else None
    except (ValueError, RecursionError) as error:
        raise _Unfit(f"{name}: no readable JSON ({error})") from None
    if caption:
        try:
            captions([text], lambda _: name, caption.name)
        except ValueError as error:
            raise _Unfit(str(error)) from None
    return f"{name}\0{member.size}\0".encode(errors="surrogateescape") + content[:_HEAD]


def _index(
    file: ShardFile,
    samples: dict[str, _Sample],
    digest: str,
    image: Sequence[str],
    label: Column | None,
    caption: Column | None,
) -> Index:
    images = np.full((len(samples), 2), -1, np.int64)
    texts = np.full((len(samples), 2), -1, np.int64)
    names: list[str] = []
    codes = np.zeros(len(samples), np.int32)
    values: dict[tuple[str, str], tuple[int, Any, int]] = {}
    for row, (key, sample) in enumerate(samples.items()):
        suffix = next((s for s in image if s in sample.members), None)
        name = key
        if suffix is not None:
            name, *place = sample.members[suffix]
            images[row] = place
        if suffix is not None and caption is not None:
            if caption.suffix not in sample.members:
                present = ", ".join(sample.members)
                raise ValueError(f"{file.path}, {key} has no .{caption.suffix}; it has {present}")
            texts[row] = sample.members[caption.suffix][1:]
        names.append(name)
        if suffix is not None and label is not None:
            plain = _plain(sample.label)
            entry = (len(values), plain, row)
            codes[row] = values.setdefault((type(plain).__name__, repr(plain)), entry)[0]
    suffixes = sorted({suffix for sample in samples.values() for suffix in sample.members})
    facts = {
        "digest": digest,
        "labels": [value for _, value, _ in values.values()],
        "rows": [row for _, _, row in values.values()],
        "suffixes": suffixes,
    }
    joined = "\0".join(names).encode(errors="surrogateescape")
    arrays: dict[str, np.ndarray] = {"image": images, "caption": texts, "label": codes,
              "names": np.frombuffer(joined, np.uint8)}  # fmt: skip
    return Index(len(samples), arrays, facts)


def _plain(value: Any) -> Any:
    """A label as JSON holds it; what is none is refused later, by its text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    return value if isinstance(value, str | int | float | None) else repr(value)
