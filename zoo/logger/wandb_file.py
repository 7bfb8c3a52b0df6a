"""What an offline run of Weights & Biases has written: its own log, read back."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_HEADER, _BLOCK, _RECORD = 7, 32768, 7  # bytes: of the file, of a block, before each part
_WHOLE, _LAST = 1, 4  # kinds of parts


def last_step(folder: Path, run_id: str) -> int:
    """The last step of a run's parts so far, ``wandb/offline-run-*-<id>`` in ``folder``; or -1.

    W&B has no reader of its own but that which uploads.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    last = -1
    for file in sorted(folder.glob(f"wandb/offline-run-*-{run_id}/*.wandb")):
        for data in records(file.read_bytes()):
            record = Record()
            try:
                record.ParseFromString(data)
            except DecodeError:
                break
            if record.WhichOneof("record_type") == "history":
                last = max(last, record.history.step.num)
    return last


def records(data: bytes) -> Iterator[bytes]:
    """The records of a log: LevelDB's format (checksum, length, kind) after a header.

    It ends where a kill has cut the file off.
    """
    position, parts = _HEADER, []
    while position + _RECORD <= len(data):
        if _BLOCK - position % _BLOCK < _RECORD:  # the rest of a block is padding
            position += _BLOCK - position % _BLOCK
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        part = data[position + _RECORD : position + _RECORD + length]
        if len(part) < length or kind == 0:
            return
        position += _RECORD + length
        parts.append(part)
        if kind in (_WHOLE, _LAST):
            yield b"".join(parts)
            parts = []
