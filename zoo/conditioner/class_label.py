"""Class labels: as an index into the denoiser's own table, or as a token for cross-attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zoo.draw import Draw
from zoo.part import Part
from zoo.records import Condition, Raw

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class ClassLabel(Part):
    """Labels go to the denoiser as they are; its table holds the embedding.

    With dropout the null label is ``num_classes``, so the table needs one row more.

    Args:
        num_classes: labels are 0 to num_classes - 1.
        dropout: the share of training labels that is replaced by the null label.
    """

    def __init__(self, num_classes: int, dropout: float = 0.0) -> None:
        check_dropout(dropout)
        self.num_classes = num_classes
        self.dropout = dropout

    @property
    def num_rows(self) -> int:
        """The rows that the denoiser's label table needs."""
        return self.num_classes + (self.dropout > 0)

    def __call__(self, raw: Raw, draw: Draw | None = None) -> Condition:
        labels = as_labels(raw, self.num_classes)
        return Condition(vector=drop(labels, self.num_classes, self.dropout, draw), raw=labels)

    def null(self, size: int) -> Condition:
        check_null(self.dropout)
        return Condition(vector=torch.full((size,), self.num_classes))

    def random(self, draw: Draw) -> Raw:
        return draw.integers(self.num_classes)


class ClassToken(Part, nn.Module):
    """Labels become one token each for cross-attention (the ClassEmbedder of latent diffusion).

    Args:
        num_classes: labels are 0 to num_classes - 1.
        dim: the token's width.
        dropout: the share of training labels that is replaced by the null label.
        null_row: whether the table has a last row for the null label; published tables of models
            without guidance lack it.

    Raises:
        ValueError: labels are to be dropped, but there is no null row.
    """

    def __init__(
        self, num_classes: int, dim: int, dropout: float = 0.0, null_row: bool = True
    ) -> None:
        super().__init__()
        check_dropout(dropout)
        if dropout and not null_row:
            raise ValueError(f"condition dropout {dropout} needs the null row: set null_row=True")
        self.num_classes = num_classes
        self.dim = dim
        self.dropout = dropout
        self.null_row = null_row
        self.embedding = nn.Embedding(num_classes + null_row, dim)

    def forward(self, raw: Raw, draw: Draw | None = None) -> Condition:
        labels = as_labels(raw, self.num_classes)
        return self._tokens(drop(labels, self.num_classes, self.dropout, draw), labels)

    def null(self, size: int) -> Condition:
        check_null(self.dropout)
        return self._tokens(torch.full((size,), self.num_classes))

    def random(self, draw: Draw) -> Raw:
        return draw.integers(self.num_classes)

    def _tokens(self, labels: Tensor, raw: Raw = None) -> Condition:
        tokens = self.embedding(labels.to(self.embedding.weight.device))[:, None]
        return Condition(tokens=tokens, raw=raw)


def as_labels(raw: Any, num_classes: int) -> Tensor:
    """Checked labels (B,) int64.

    Raises:
        ValueError: no labels, captions in their place, or a label out of range.
    """
    if raw is None or (isinstance(raw, list) and raw and isinstance(raw[0], str)):
        got = "none" if raw is None else f"captions such as {raw[0]!r}"
        raise ValueError(
            f"this model is conditioned on class labels 0 to {num_classes - 1}, got {got}"
        )
    try:
        labels = torch.as_tensor(raw)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"labels must be a list of integers, got {type(raw).__name__} {repr(raw)[:40]}"
        ) from None
    if labels.ndim != 1 or labels.dtype not in _INTEGERS:
        raise ValueError(
            f"labels must be a list of integers, got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(
            f"labels must lie in 0 to {num_classes - 1}, "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
    return labels.long()


def drop(labels: Tensor, null: int, dropout: float, draw: Draw | None) -> Tensor:
    """Replaces each label by ``null`` with probability ``dropout``; not at all without a draw."""
    if draw is None or dropout == 0:
        return labels
    return labels.where(draw.uniform().to(labels.device) >= dropout, null)


def check_dropout(dropout: float) -> None:
    """Raises ValueError unless 0 <= dropout < 1."""
    if not 0 <= dropout < 1:
        raise ValueError(f"condition dropout must lie in [0, 1), got {dropout}")


def check_null(dropout: float) -> None:
    """Raises ValueError where the null condition was never trained."""
    if dropout == 0:
        raise ValueError(
            "guidance needs a null condition, but this model was trained without condition "
            "dropout: use guidance scale 1, or train with conditioner.dropout=0.1"
        )
