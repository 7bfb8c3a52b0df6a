"""What a training gives its text conditioner: weights from a file, a tokenizer from captions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.conditioner.text import TextConditioner

if TYPE_CHECKING:
    from omegaconf import DictConfig


def load_text_encoder(cfg: DictConfig) -> TextConditioner:
    """The text conditioner out of ``cfg.text_encoder``, with the config's dropout and freezing.

    Raises:
        ValueError: there is no file, no text conditioner in it, or the config asks for none.
    """
    from zoo.checkpoint import load

    saved = load(cfg.text_encoder)
    found = getattr(saved, "conditioner", saved)
    if not isinstance(found, TextConditioner):
        raise ValueError(
            f"text_encoder={cfg.text_encoder} holds a {type(found).__name__}, no text encoder: "
            "give the file of a CLIPText, a BERTText, or of a model with one"
        )
    if "trainable" not in cfg.conditioner:
        raise ValueError(
            f"text_encoder={cfg.text_encoder} is for a model that reads captions: choose "
            "conditioner=clip_text or conditioner=bert_text"
        )
    found.dropout = cfg.conditioner.dropout
    found.set_trainable(cfg.conditioner.trainable)
    return found


def prepare(model: Any, cfg: DictConfig, data: Any) -> None:
    """Sees to it that a text conditioner can read the data's captions; others are left alone.

    Raises:
        ValueError: the data gives no captions, there is no such tokenizer, or the text encoder
            would stay at random weights.
    """
    conditioner = getattr(model, "conditioner", None)
    if not isinstance(conditioner, TextConditioner):
        return
    if data.condition != "caption":
        raise ValueError(
            f"{type(conditioner).__name__} needs captions, but data.condition={data.condition}: "
            "set data.condition=caption, or conditioner=unconditional"
        )
    if not conditioner.trainable and cfg.text_encoder is None:
        raise ValueError(
            f"this {type(conditioner).__name__} is frozen at random weights: give "
            "text_encoder=FILE of a trained one, or let it learn with conditioner.trainable=true"
        )
    if cfg.tokenizer is not None:
        if not Path(cfg.tokenizer).is_file():
            raise ValueError(f"tokenizer={cfg.tokenizer}: no such file")
        conditioner.set_tokenizer(Path(cfg.tokenizer).read_bytes())
    elif not conditioner.tokenizer_bytes:
        captions = getattr(data.train, "captions", None)
        if not captions:
            raise ValueError(
                f"{data.name} has no list of captions to learn a tokenizer from: give "
                "tokenizer=PATH of a tokenizer.json"
            )
        learned = conditioner.train_tokenizer(captions, conditioner.vocab_size)
        conditioner.set_tokenizer(learned)
