"""The base of text conditioners: a tokenizer that travels with the weights, dropout, freezing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from zoo.conditioner.class_label import check_dropout
from zoo.draw import Draw
from zoo.part import Part
from zoo.records import Condition, Raw


class Embeddings(Protocol):
    """What a frozen network gave for some captions, kept."""

    def __call__(self, captions: Sequence[str]) -> Tensor | None:
        """(B, L, D) float32 on the CPU; None where one of them is not kept."""


class TextConditioner(Part, nn.Module):
    """Captions to tokens (B, L, D) for cross-attention, by a network of a subclass.

    The tokenizer is a buffer that holds the bytes of a ``tokenizer.json``, so that a saved file is
    complete; token ids (B, L) are taken too, and need none.

    Args:
        vocab_size: rows of the network's token table.
        max_length: tokens of every caption, L; longer ones lose words but keep their end token.
        dropout: the share of training captions that is replaced by the empty one.
        trainable: whether the network learns with the denoiser, or stays as it is.
        tokenizer_bytes: length of the tokenizer in bytes, which ``set_tokenizer`` sets; 0 before.

    Attributes:
        network: ids (B, L) int64 to (B, L, D).
        dim: D.
        embeddings: answers for the network, where it is frozen, in the captions that it knows.
    """

    num_classes = None
    embeddings: Embeddings | None = None
    reads_captions = True
    network: nn.Module
    tokenizer: Tensor
    dim: int

    def __init__(
        self,
        vocab_size: int,
        max_length: int,
        dropout: float,
        trainable: bool,
        tokenizer_bytes: int,
    ) -> None:
        super().__init__()
        check_dropout(dropout)
        self.vocab_size, self.max_length = vocab_size, max_length
        self.dropout, self.trainable = dropout, trainable
        self.register_buffer("tokenizer", torch.zeros(tokenizer_bytes, dtype=torch.uint8))
        self._parsed: Tokenizer | None = None

    @property
    def tokenizer_bytes(self) -> int:
        """Length of the tokenizer in bytes; 0 where there is none."""
        return self.tokenizer.numel()

    def set_network(self, network: nn.Module) -> None:
        """Sets the network that reads token ids, frozen unless ``trainable``."""
        self.network = network
        self.set_trainable(self.trainable)

    def set_trainable(self, trainable: bool) -> None:
        """Lets the network learn, or freezes it."""
        self.trainable = trainable
        self.network.requires_grad_(trainable)
        self.train(self.training)

    def train(self, mode: bool = True) -> TextConditioner:
        super().train(mode)
        if not self.trainable:
            self.network.eval()
        return self

    # The tokenizer

    @staticmethod
    def train_tokenizer(captions: Iterable[str], vocab_size: int) -> bytes:
        """A tokenizer of this network's kind, learned from captions."""
        raise NotImplementedError

    def pad_id(self, tokenizer: Tokenizer) -> int | None:
        """The token that fills captions up to ``max_length``; None where the tokenizer has none."""
        raise NotImplementedError

    def set_tokenizer(self, json_bytes: bytes) -> None:
        """Sets the tokenizer from the UTF-8 bytes of its ``tokenizer.json``.

        Raises:
            ValueError: it cannot be read, has more tokens than the network, or lacks those that
                begin, end and fill a caption.
        """
        parsed = self._parse(json_bytes)
        if (size := parsed.get_vocab_size()) > self.vocab_size:
            raise ValueError(
                f"the tokenizer has {size} tokens, the text network {self.vocab_size}: set "
                f"conditioner.vocab_size={size}, or give its own tokenizer"
            )
        if len(parsed.encode("").ids) != 2 or self.pad_id(parsed) is None:
            raise ValueError(
                f"the tokenizer does not begin, end and fill captions as {type(self).__name__}'s "
                "does: give the tokenizer.json that belongs to the network"
            )
        data = torch.frombuffer(bytearray(json_bytes), dtype=torch.uint8)
        self.tokenizer = data.to(self.tokenizer.device)
        self._parsed = parsed

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Token ids (B, ``max_length``) int64 on the CPU.

        Raises:
            ValueError: there is no tokenizer.
        """
        if self._parsed is None:
            if not self.tokenizer_bytes:
                raise ValueError(
                    f"this {type(self).__name__} has no tokenizer: give one by "
                    "set_tokenizer(Path('tokenizer.json').read_bytes()), or token ids (B, L) in "
                    "place of captions"
                )
            self._parsed = self._parse(self.tokenizer.cpu().numpy().tobytes())
        pad = self.pad_id(self._parsed)
        assert pad is not None
        ids = torch.full((len(captions), self.max_length), pad)
        for row, caption in zip(ids, captions, strict=True):
            token_ids = self._parsed.encode(caption).ids
            row[: len(token_ids)] = torch.tensor(token_ids)
        return ids

    def _parse(self, json_bytes: bytes) -> Tokenizer:
        try:
            parsed = Tokenizer.from_str(json_bytes.decode())
        except Exception as error:  # the library raises plain Exception
            raise ValueError(f"the tokenizer cannot be read: {error}") from None
        parsed.enable_truncation(self.max_length)  # of the words: start and end token stay
        parsed.no_padding()
        return parsed

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._parsed = None  # the bytes may change
        super()._load_from_state_dict(*args, **kwargs)

    # The condition

    def forward(self, raw: Raw, draw: Draw | None = None) -> Condition:
        """Captions, or token ids (B, L) int64, to tokens (B, L, D)."""
        if isinstance(raw, list | tuple) and all(isinstance(caption, str) for caption in raw):
            captions = self._drop(list(raw), draw)
            return Condition(tokens=self._known(captions), raw=captions)
        ids = self._ids(raw)
        if draw is not None and self.dropout:
            keep = draw.uniform().to(ids.device) >= self.dropout
            ids = ids.where(keep[:, None], self.tokens([""]).to(ids))
        return Condition(tokens=self._encode(ids), raw=ids)

    def null(self, size: int) -> Condition:
        """The encoding of the empty caption, ``size`` times."""
        return Condition(tokens=self._encode(self.tokens([""])).expand(size, -1, -1))

    def random(self, draw: Draw) -> Raw:
        """Empty captions: there is no distribution of captions to draw from."""
        return [""] * len(draw)

    def tokens_of(self, captions: Sequence[str]) -> Tensor:
        """The network's tokens (B, L, D) of captions, computed now."""
        return self._encode(self.tokens(captions))

    def _known(self, captions: Sequence[str]) -> Tensor:
        if self.embeddings is not None and not self.trainable:
            tokens = self.embeddings(captions)
            if tokens is not None:
                return tokens.to(next(self.network.parameters()).device)
        return self.tokens_of(captions)

    def _drop(self, captions: list[str], draw: Draw | None) -> list[str]:
        if draw is None or not self.dropout:
            return captions
        dropped = (draw.uniform() < self.dropout).tolist()
        return ["" if drop else caption for drop, caption in zip(dropped, captions, strict=True)]

    def _encode(self, ids: Tensor) -> Tensor:
        device = next(self.network.parameters()).device
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trainable):
            return self.network(ids.to(device))

    def _ids(self, raw: Any) -> Tensor:
        if not isinstance(raw, Tensor) or raw.ndim != 2 or raw.is_floating_point():
            got = f"{raw.dtype} {tuple(raw.shape)}" if isinstance(raw, Tensor) else repr(raw)[:40]
            raise ValueError(
                "this model is conditioned on captions: a list of texts, or token ids (B, "
                f"{self.max_length}) int64; got {got}"
            )
        if raw.shape[1] > self.max_length:
            raise ValueError(f"at most {self.max_length} tokens are read, got {raw.shape[1]}")
        if (
            raw.device.type == "cpu"
            and raw.numel()
            and not 0 <= raw.min() <= raw.max() < self.vocab_size
        ):
            raise ValueError(f"token ids lie in 0 to {self.vocab_size - 1}")
        return raw.long()
