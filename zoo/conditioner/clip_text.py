"""The text encoder of CLIP, as Stable Diffusion 1.x reads captions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from zoo.conditioner.text import TextConditioner
from zoo.conditioner.tokenizer import train_clip_tokenizer


class CLIPText(TextConditioner):
    """Captions to the last hidden state of CLIP's text tower (arXiv:2103.00020).

    The default sizes are ViT-L/14's, Stable Diffusion 1.x's. Captions are padded with the end
    token, and all ``max_length`` tokens are attended to.

    Args:
        width: of the tokens, D.
        layers: of the transformer.
        heads: of each attention.
        feed_forward: width within the feed-forward layers; four times ``width`` when None.
        vocab_size, max_length, ...: see ``TextConditioner``.

    Attributes:
        network: its state dict has the keys of the published files, ``text_model.*``.

    Raises:
        ValueError: the heads do not divide the width.
    """

    train_tokenizer = staticmethod(train_clip_tokenizer)

    def __init__(
        self,
        vocab_size: int = 49_408,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        max_length: int = 77,
        feed_forward: int | None = None,
        dropout: float = 0.0,
        trainable: bool = False,
        tokenizer_bytes: int = 0,
    ) -> None:
        super().__init__(vocab_size, max_length, dropout, trainable, tokenizer_bytes)
        if width % heads:
            raise ValueError(f"{heads} attention heads do not divide a width of {width}")
        self.width = self.dim = width
        self.layers, self.heads, self.feed_forward = layers, heads, feed_forward
        inner = 4 * width if feed_forward is None else feed_forward
        self.set_network(CLIPTextNetwork(vocab_size, width, layers, heads, max_length, inner))

    def pad_id(self, tokenizer: Tokenizer) -> int | None:
        """The end token."""
        return tokenizer.encode("").ids[-1]


class CLIPTextNetwork(nn.Module):
    """Token ids (B, L) to the normalised last hidden state (B, L, D)."""

    def __init__(
        self, vocab_size: int, width: int, layers: int, heads: int, max_length: int, inner: int
    ) -> None:
        super().__init__()
        tower: Any = nn.Module()
        tower.embeddings = nn.ModuleDict(
            {
                "token_embedding": nn.Embedding(vocab_size, width),
                "position_embedding": nn.Embedding(max_length, width),
            }
        )
        tower.encoder = nn.ModuleDict(
            {"layers": nn.ModuleList(_CausalLayer(width, heads, inner) for _ in range(layers))}
        )
        tower.final_layer_norm = nn.LayerNorm(width)
        self.text_model = tower
        for table in tower.embeddings.values():
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        tower = self.text_model
        places = torch.arange(ids.shape[1], device=ids.device)
        table = tower.embeddings
        x = table["token_embedding"](ids) + table["position_embedding"](places)
        for layer in tower.encoder["layers"]:
            x = layer(x)
        return tower.final_layer_norm(x)


class _CausalLayer(nn.Module):
    """Causal attention and a feed-forward layer, each behind a norm and added."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width)
        self.self_attn = _CausalAttention(width, heads)
        self.layer_norm2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        h = self.mlp["fc1"](self.layer_norm2(x))
        return x + self.mlp["fc2"](h * torch.sigmoid(1.702 * h))  # OpenAI's quick GELU


class _CausalAttention(nn.Module):
    """Attention in which a token sees itself and those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            project(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(h.transpose(1, 2).flatten(2))
