"""The text conditioner of a training: weights from a file, a tokenizer from captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.checkpoint import load
from zoo.conditioner.text import TextConditioner
from zoo.training.distributed.group import first


def load_text_encoder(
    path: str, config: Mapping[str, Any], trust: Sequence[str] = ()
) -> TextConditioner:
    """The text conditioner out of a file, with the dropout and the freezing of ``config``.

    Args:
        path: the file.
        config: of the conditioner.
        trust: packages, beside the zoo's own, whose classes the file may name.

    Raises:
        ValueError: there is no file, no text conditioner in it, or the model has none.
    """
    if "trainable" not in config:
        raise ValueError(
            f"text_encoder={path} is for a model that reads captions: choose "
            "conditioner=clip_text or conditioner=bert_text"
        )
    saved = load(path, trust)
    conditioner = getattr(saved, "conditioner", saved)
    if not isinstance(conditioner, TextConditioner):
        raise ValueError(
            f"text_encoder={path} holds a {type(conditioner).__name__}, no text encoder: "
            "give the file of a CLIPText, a BERTText, or of a model with one"
        )
    conditioner.dropout = config["dropout"]
    conditioner.set_trainable(config["trainable"])
    return conditioner


def prepare(model: Any, data: Any, loaded: bool, tokenizer: str | None) -> None:
    """Makes sure that a text conditioner can read the data's captions; others are unchanged.

    Args:
        model: whose ``conditioner`` it is.
        data: the data module.
        loaded: whether the conditioner's weights come from a file.
        tokenizer: the path of a ``tokenizer.json``; None keeps the conditioner's own, or learns one
            from the captions.

    Raises:
        ValueError: the data gives no captions, there is no such tokenizer, the text encoder would
            stay at random weights, or a tokenizer is given to a model that reads no captions.
    """
    conditioner = getattr(model, "conditioner", None)
    if not isinstance(conditioner, TextConditioner):
        if tokenizer is not None:
            raise ValueError(
                f"tokenizer={tokenizer} is for a model that reads captions, not for this "
                f"{type(model).__name__}: leave it out, or choose conditioner=clip_text or "
                "conditioner=bert_text"
            )
        return
    if data.condition != "caption":
        raise ValueError(
            f"{type(conditioner).__name__} needs captions, but data.condition={data.condition}: "
            "set data.condition=caption, or conditioner=unconditional"
        )
    if not conditioner.trainable and not loaded:
        raise ValueError(
            f"this {type(conditioner).__name__} is frozen at random weights: give "
            "text_encoder=FILE of a trained one, or let it learn with conditioner.trainable=true"
        )
    if tokenizer is not None:
        if not Path(tokenizer).is_file():
            raise ValueError(f"tokenizer={tokenizer}: no such file")
        conditioner.set_tokenizer(Path(tokenizer).read_bytes())
    elif not conditioner.tokenizer_bytes:
        captions = getattr(data.train, "all_captions", None)
        if not captions:
            raise ValueError(
                f"{data.name} has no list of captions to learn a tokenizer from: give "
                "tokenizer=PATH of a tokenizer.json"
            )
        learned = first(lambda: conditioner.train_tokenizer(captions, conditioner.vocab_size))
        conditioner.set_tokenizer(learned)
