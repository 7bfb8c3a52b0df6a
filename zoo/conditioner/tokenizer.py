"""Tokenizers as the bytes of one ``tokenizer.json``: from published vocabularies, or trained.

Two kinds: CLIP's byte pairs and BERT's word pieces, each with its own start and end token. All
functions return UTF-8 bytes that ``TextConditioner.set_tokenizer`` takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

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
_PRIVATE = 0xF0000  # characters that no text has
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
    words = _words(_clip_like(models.BPE()), captions)
    pieces = _learn(words, vocab_size, [_START, _END], lambda index, size: index == size - 1)
    tokens = {piece: "".join(pieces.letter(c) + pieces.mark(c, "</w>") for c in piece)
              for piece in pieces.vocab}  # fmt: skip
    vocab = {tokens[piece]: index for piece, index in pieces.vocab.items()}
    merges = [(tokens[first], tokens[second]) for first, second in pieces.merges]
    model = models.BPE(vocab=vocab, merges=merges, end_of_word_suffix="</w>", unk_token=_END)
    return _json_bytes(_clip_like(model), (_END, _START))


def train_bert_tokenizer(captions: Iterable[str], vocab_size: int) -> bytes:
    """A tokenizer like BERT's with at most ``vocab_size`` word pieces, learned from captions.

    Raises:
        ValueError: the captions' letters alone are more than ``vocab_size``.
    """
    words = _words(_bert_like(models.WordPiece(unk_token=_UNKNOWN)), captions)
    special = [_PAD, _UNKNOWN, _CLS, _SEP, _MASK]
    pieces = _learn(words, vocab_size, special, lambda index, size: index > 0)
    vocab = {
        pieces.mark(piece[0], "##") + "".join(map(pieces.letter, piece)): index
        for piece, index in pieces.vocab.items()
    }
    return _json_bytes(_bert_like(models.WordPiece(vocab=vocab, unk_token=_UNKNOWN)), (_SEP, _CLS))


class _Pieces(NamedTuple):
    """Learned pieces of words, in which some letters are marked by where they stand.

    Attributes:
        vocab: numbers by piece.
        merges: pairs of pieces, in order.
        letters: what a marked letter is, by its stand-in.
    """

    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    letters: dict[str, str]

    def letter(self, character: str) -> str:
        """The letter itself, without its mark."""
        return self.letters.get(character, character)

    def mark(self, character: str, text: str) -> str:
        """``text`` for a marked letter, else nothing."""
        return text if character in self.letters else ""


def _words(tokenizer: Tokenizer, captions: Iterable[str]) -> list[list[str]]:
    """Each caption's words, as the tokenizer takes them apart."""
    normalizer, splitter = tokenizer.normalizer, tokenizer.pre_tokenizer
    return [
        [word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(caption))]
        for caption in captions
    ]


def _learn(
    words: list[list[str]],
    vocab_size: int,
    special: list[str],
    is_marked: Callable[[int, int], bool],
) -> _Pieces:
    """Byte pairs of words, the same in every process.

    The library numbers letters that have a prefix or suffix in the order of a hash map with a
    random seed, and of equally frequent pairs takes the one of the lowest numbers. So marked
    letters go in as characters of their own, which it sorts.

    Args:
        words: of each caption.
        vocab_size: the most pieces.
        special: the first ones.
        is_marked: whether a letter is marked, by its place in a word and the word's length.
    """
    distinct = {word for some in words for word in some}
    marked = sorted({c for w in distinct for i, c in enumerate(w) if is_marked(i, len(w))})
    stand_in = {letter: chr(_PRIVATE + index) for index, letter in enumerate(marked)}
    spelt = {
        word: "".join(stand_in[c] if is_marked(i, len(word)) else c for i, c in enumerate(word))
        for word in distinct
    }
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=sorted({letter for word in distinct for letter in word}),
        show_progress=False,
    )
    tokenizer.train_from_iterator(([spelt[word] for word in some] for some in words), trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    if len(learned["vocab"]) > vocab_size:
        raise ValueError(
            f"the captions' letters alone need {len(learned['vocab'])} tokens, more than "
            f"vocab_size={vocab_size}"
        )
    merges = [(first, second) for first, second in learned["merges"]]
    return _Pieces(learned["vocab"], merges, {sign: c for c, sign in stand_in.items()})


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
