"""The text encoder and tokenizer of a Stable Diffusion folder, as a CLIPText; and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.checkpoint.outline import outline
from zoo.conditioner import CLIPText
from zoo.conditioner.tokenizer import clip_tokenizer
from zoo.convert import keys
from zoo.convert.diffusers.folder import Files
from zoo.convert.diffusers.options import Options
from zoo.convert.text import read_json

DROPOUT = 0.1  # the share of captions dropped since v1-3; guidance by "" is what pipelines do
_PREFIX = "text_model."  # which transformers 5 leaves out
_DEFAULTS = {  # of transformers' CLIPTextConfig
    "vocab_size": 49_408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
}


_NAMES = {  # ours to theirs
    "vocab_size": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "max_length": "max_position_embeddings",
}


def read_text_encoder(encoder: Path, tokenizer: Path, files: Files) -> CLIPText:
    """The conditioner that encodes captions as the folders' CLIPTextModel and CLIPTokenizer do.

    The options that shape the network are read; a transformers config has some fifty others, for
    generation and training, that do not.

    Raises:
        ValueError: the encoder is of another kind, or its weights or tokenizer do not fit.
    """
    config = read_json(encoder / "config.json")
    kinds = config.get("architectures") or ["CLIPTextModel"]
    if "CLIPTextModel" not in kinds:
        raise ValueError(f"{encoder}: the text encoder is a {kinds[0]}, possible is CLIPTextModel")
    options = Options(config, "CLIPTextModel", _DEFAULTS)
    options.must_be("hidden_act", "quick_gelu")
    options.must_be("layer_norm_eps", 1e-5)
    sizes = {ours: options.take(theirs) for ours, theirs in _NAMES.items()}
    inner = options.take("intermediate_size")
    inner = None if inner == 4 * sizes["width"] else inner
    weights = _ours(files.read(encoder))
    conditioner = outline(
        lambda: CLIPText(**sizes, feed_forward=inner, dropout=DROPOUT), len(weights)
    )
    names = {f"network.{key}": [key] for key in conditioner.network.state_dict()}
    keys.fill(conditioner, weights, names, str(encoder), own=("tokenizer",))
    conditioner.set_tokenizer(_tokenizer(tokenizer))
    return conditioner.eval()


def _ours(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ours = {_PREFIX + key.removeprefix(_PREFIX): value for key, value in theirs.items()}
    ours.pop(f"{_PREFIX}embeddings.position_ids", None)  # 0, 1, 2, ...: old files have it
    return ours


def _tokenizer(folder: Path) -> bytes:
    config = read_json(folder / "tokenizer_config.json")
    pad = config.get("pad_token", "<|endoftext|>")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    if pad not in (None, "<|endoftext|>"):
        raise ValueError(
            f"{folder}: the tokenizer's pad_token={pad!r} is not supported: possible is the end "
            "token '<|endoftext|>'"
        )
    if (folder / "vocab.json").is_file():
        lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
        merges = [_pair(line) for line in lines if line and not line.startswith("#version")]
        return clip_tokenizer(read_json(folder / "vocab.json"), merges)
    model = read_json(folder / "tokenizer.json").get("model", {})
    if model.get("type") != "BPE":
        raise ValueError(f"{folder}: the tokenizer is of type {model.get('type')!r}, not 'BPE'")
    return clip_tokenizer(model["vocab"], [_pair(merge) for merge in model["merges"]])


def _pair(merge: str | list[str]) -> tuple[str, str]:
    first, second = merge.split() if isinstance(merge, str) else merge
    return first, second


def text_encoder_config(text: CLIPText) -> dict[str, Any]:
    """transformers' config of the same text encoder."""
    tokens = text.tokens([""])[0] if text.tokenizer_bytes else torch.tensor([0, 1])
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        **{theirs: getattr(text, ours) for ours, theirs in _NAMES.items()},
        "intermediate_size": text.feed_forward or 4 * text.width,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "bos_token_id": int(tokens[0]),
        "eos_token_id": int(tokens[1]),
        "pad_token_id": int(tokens[1]),
    }


def text_encoder_weights(text: CLIPText) -> dict[str, Tensor]:
    """The text encoder's weights under the published names."""
    return {k: v.detach().cpu().contiguous() for k, v in text.network.state_dict().items()}


def tokenizer_files(text: CLIPText) -> dict[str, str]:
    """The files of a tokenizer's folder: name to content.

    Raises:
        ValueError: there is no tokenizer.
    """
    if not text.tokenizer_bytes:
        raise ValueError(
            "a pipeline needs the conditioner's tokenizer: give it by set_tokenizer(...)"
        )
    model = json.loads(text.tokenizer.cpu().numpy().tobytes())["model"]
    merges = [" ".join(_pair(merge)) for merge in model["merges"]]
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": text.max_length,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    return {
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges, ""]),
        "tokenizer_config.json": json.dumps(config, indent=2),
    }
