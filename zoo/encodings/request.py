"""What is to be encoded, and what identifies the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoo.encodings.identity import content_digest
from zoo.encodings.table import Table

DTYPES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class Source:
    """The items that one table has rows of.

    Attributes:
        num_items: images or captions.
        rows_per_item: 2 where an image is encoded as it is and mirrored, else 1.
        encode: rows (len * rows_per_item, ...) float32 on the CPU of consecutive items.
    """

    num_items: int
    rows_per_item: int
    encode: Callable[[range], Tensor]


@dataclass(frozen=True)
class Request:
    """Tables that a frozen network and a data set fix.

    Attributes:
        kind: "latents" or "captions"; the folder of its entries in the cache.
        about: the data set, for messages.
        unit: "images" or "captions".
        encoder, content: what made them and of what, each a few digests or plain values by name.
        dtype: that they are kept in, "float32" or "float16".
        sources: by the name of their table.
        row_shape: of one row.
        facts: of the complete tables, plain values to be kept with them.
    """

    kind: str
    about: str
    unit: str
    encoder: Mapping[str, Any]
    content: Mapping[str, Any]
    dtype: str
    sources: Mapping[str, Source]
    row_shape: tuple[int, ...]
    facts: Callable[[Mapping[str, Table]], dict[str, Any]] = field(default=lambda tables: {})

    @property
    def identity(self) -> dict[str, Any]:
        """What another result would differ in."""
        return {
            "format": 1,
            "kind": self.kind,
            "encoder": dict(self.encoder),
            "content": dict(self.content),
            "dtype": self.dtype,
        }

    @property
    def key(self) -> str:
        """The identity as 64 hexadecimal digits."""
        return content_digest(self.identity)

    @property
    def num_rows(self) -> int:
        """Rows of all tables."""
        return sum(source.num_items * source.rows_per_item for source in self.sources.values())

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.row_shape) * DTYPES[self.dtype].itemsize

    @property
    def num_bytes(self) -> int:
        """Bytes of all rows."""
        return self.num_rows * self.row_bytes
