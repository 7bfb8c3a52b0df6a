"""The text encoder of latent diffusion: a transformer over BERT's word pieces."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from zoo.conditioner.text import TextConditioner
from zoo.conditioner.tokenizer import train_bert_tokenizer
from zoo.layers.dropout import Dropout


class BERTText(TextConditioner):
    """Captions to the tokens of LDM's BERTEmbedder (LDM, section 4.3.1 and appendix E.2).

    The default sizes are those of LDM's text-to-image model, which trains the encoder jointly with
    the denoiser (``trainable=True``). Only its tokenizer is BERT's; captions are
    padded with [PAD], and all ``max_length`` tokens are attended to, padding included.

    Args:
        width: of the tokens, D.
        layers: of the transformer, each an attention and a feed-forward layer.
        heads: of each attention.
        head_channels: width of one head.
        embedding_dropout: of the embedded tokens, in training.
        vocab_size, max_length, ...: see ``TextConditioner``.
    """

    train_tokenizer = staticmethod(train_bert_tokenizer)

    def __init__(
        self,
        vocab_size: int = 30_522,
        width: int = 1280,
        layers: int = 32,
        heads: int = 8,
        max_length: int = 77,
        head_channels: int = 64,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
        trainable: bool = False,
        tokenizer_bytes: int = 0,
    ) -> None:
        super().__init__(vocab_size, max_length, dropout, trainable, tokenizer_bytes)
        self.width = self.dim = width
        self.layers, self.heads, self.head_channels = layers, heads, head_channels
        self.embedding_dropout = embedding_dropout
        self.set_network(
            BERTTextNetwork(
                vocab_size, width, layers, heads, max_length, head_channels, embedding_dropout
            )
        )

    def pad_id(self, tokenizer: Tokenizer) -> int | None:
        """[PAD]."""
        return tokenizer.token_to_id("[PAD]")


class BERTTextNetwork(nn.Module):
    """Token ids (B, L) to normalised tokens (B, L, D), by a transformer with norms in front."""

    def __init__(
        self,
        vocab_size: int,
        width: int,
        layers: int,
        heads: int,
        max_length: int,
        head_channels: int,
        embedding_dropout: float,
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.embedding_dropout = Dropout(embedding_dropout)
        self.layers = nn.ModuleList(_Layer(width, heads, head_channels) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for table in (self.token_embedding, self.position_embedding):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(places)
        x = self.embedding_dropout(x)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class _Layer(nn.Module):
    """Attention and a feed-forward layer, each behind a norm and added; heads of any width."""

    def __init__(self, width: int, heads: int, head_channels: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_channels
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * inner, bias=False)  # [q | k | v], each split into heads
        self.out = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward_in = nn.Linear(width, 4 * width)
        self.feed_forward_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        split = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1))
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.feed_forward_out(F.gelu(self.feed_forward_in(self.norm2(x))))
