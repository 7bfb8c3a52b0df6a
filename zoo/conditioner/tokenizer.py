"""Tokenizers as the bytes of one ``tokenizer.json``: from published vocabularies, or trained.

Two kinds: CLIP's byte pairs and BERT's word pieces, each with its own start and end token. All
functions return UTF-8 bytes that ``TextConditioner.set_tokenizer`` takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

_START, _END = "<|startoftext|>", "<|endoftext|>"
_PAD, _UNKNOWN, _CLS, _SEP, _MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
# OpenAI's CLIP: words, single digits, runs of signs, and English's contractions apart
_CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


def clip_tokenizer(vocab: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> bytes:
    """CLIP's tokenizer of a ``vocab.json`` and the pairs in ``merges.txt``.

    Raises:
        ValueError: the vocabulary lacks CLIP's start or end token.
    """
    _need(vocab, (_START, _END), "CLIP")
    model = models.BPE(
        vocab=dict(vocab), merges=list(merges), end_of_word_suffix="</w>", unk_token=_END
    )
    return _json_bytes(_clip_like(model), (_END, _START))


def bert_tokenizer(vocab: Mapping[str, int]) -> bytes:
    """The lower-case tokenizer of a ``vocab.txt``, such as bert-base-uncased's.

    Raises:
        ValueError: the vocabulary lacks one of BERT's special tokens.
    """
    _need(vocab, (_PAD, _UNKNOWN, _CLS, _SEP), "BERT")
    model = models.WordPiece(vocab=dict(vocab), unk_token=_UNKNOWN)
    return _json_bytes(_bert_like(model), (_SEP, _CLS))


def train_clip_tokenizer(captions: Iterable[str], vocab_size: int) -> bytes:
    """A tokenizer like CLIP's with at most ``vocab_size`` tokens, learned from captions.

    Raises:
        ValueError: the captions' letters alone are more than ``vocab_size``.
    """
    tokenizer = _clip_like(models.BPE(end_of_word_suffix="</w>", unk_token=_END))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[_START, _END],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    return _learn(tokenizer, trainer, captions, (_END, _START))


def train_bert_tokenizer(captions: Iterable[str], vocab_size: int) -> bytes:
    """A tokenizer like BERT's with at most ``vocab_size`` word pieces, learned from captions.

    Raises:
        ValueError: the captions' letters alone are more than ``vocab_size``.
    """
    tokenizer = _bert_like(models.WordPiece(unk_token=_UNKNOWN))
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[_PAD, _UNKNOWN, _CLS, _SEP, _MASK],
        show_progress=False,
    )
    return _learn(tokenizer, trainer, captions, (_SEP, _CLS))


def _learn(
    tokenizer: Tokenizer,
    trainer: trainers.BpeTrainer | trainers.WordPieceTrainer,
    captions: Iterable[str],
    end_start: tuple[str, str],
) -> bytes:
    tokenizer.train_from_iterator(captions, trainer)
    if tokenizer.get_vocab_size() > trainer.vocab_size:
        raise ValueError(
            f"the captions' letters alone need {tokenizer.get_vocab_size()} tokens, more than "
            f"vocab_size={trainer.vocab_size}"
        )
    return _json_bytes(tokenizer, end_start)


def _clip_like(model: models.Model) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _bert_like(model: models.Model) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _json_bytes(tokenizer: Tokenizer, end_start: tuple[str, str]) -> bytes:
    """With start and end token around every text."""
    end, start = end_start
    ids = [(token, tokenizer.token_to_id(token)) for token in end_start]
    tokenizer.add_special_tokens(list(end_start))  # each is one token within a text
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=ids
    )
    return tokenizer.to_str().encode()


def _need(vocab: Mapping[str, int], tokens: Iterable[str], whose: str) -> None:
    if missing := [token for token in tokens if token not in vocab]:
        raise ValueError(f"this is no vocabulary of {whose}: it lacks {', '.join(missing)}")
