"""The embeddings of a data set's captions by a frozen text encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from zoo.conditioner.text import TextConditioner
from zoo.encodings.entry import Entry
from zoo.encodings.identity import content_digest, network_digest
from zoo.encodings.request import Request, Source
from zoo.encodings.table import parts

_TABLE = "captions"
_BATCH = 32


class Embeddings:
    """The tokens (L, D) of captions, looked up.

    Args:
        entry: with the table "captions".
        captions: of its rows, in order.
    """

    def __init__(self, entry: Entry, captions: Sequence[str]) -> None:
        self.entry = entry
        self._table = entry.tables[_TABLE]
        self._row = {caption: row for row, caption in enumerate(captions)}

    def __deepcopy__(self, memo: object) -> Embeddings:
        return self  # a copy of a model reads the same file

    def __call__(self, captions: Sequence[str]) -> Tensor | None:
        """(B, L, D) float32 on the CPU; None where one of them is not kept."""
        rows = [self._row.get(caption) for caption in captions]
        if any(row is None for row in rows):
            return None
        return self._table.gather(torch.tensor(rows, dtype=torch.int64))


def distinct(captions: Iterable[str]) -> list[str]:
    """Every caption once, and the empty one, which stands for a dropped condition; sorted."""
    return sorted({"", *captions})


def captions_request(
    conditioner: TextConditioner,
    captions: Sequence[str],
    about: str,
    dtype: str,
    device: torch.device | str = "cpu",
) -> Request:
    """What to keep of captions' embeddings; nothing is encoded.

    Args:
        conditioner: frozen, with a tokenizer; is moved to ``device`` when it encodes.
        captions: as ``distinct`` gives them.
        about: the data set's name.
        dtype: "float32" or "float16".
        device: to encode on.
    """

    def encode(items: range) -> Tensor:
        with torch.inference_mode():
            return torch.cat([
                conditioner.to(device).tokens_of(captions[part.start : part.stop]).float().cpu()
                for part in parts(items, _BATCH)
            ])  # fmt: skip

    return Request(
        kind="captions",
        about=about,
        unit="captions",
        encoder={"text_encoder": network_digest(conditioner, ("dropout", "trainable"))},
        content={"captions": content_digest({"captions": list(captions)})},
        dtype=dtype,
        sources={_TABLE: Source(len(captions), 1, encode)},
        row_shape=(conditioner.max_length, conditioner.dim),
    )
