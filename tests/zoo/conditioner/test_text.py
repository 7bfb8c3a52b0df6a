from __future__ import annotations

import copy
import hashlib
import importlib.util
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from zoo.checkpoint import load, save
from zoo.conditioner import BERTText, ClassToken, CLIPText, TextConditioner
from zoo.conditioner.tokenizer import (
    bert_tokenizer,
    clip_tokenizer,
    train_bert_tokenizer,
    train_clip_tokenizer,
)
from zoo.draw import Draw

ROOT = Path(__file__).parents[3]
_spec = importlib.util.spec_from_file_location("_formula", ROOT / "benchmarks" / "_formula.py")
assert _spec is not None and _spec.loader is not None
formula = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(formula)

CAPTIONS = ["a red square", "a blue circle", "two red circles, and a square", "It's 12 squares!"]
KINDS = [CLIPText, BERTText]


def small(kind: type, **changes: Any) -> Any:
    torch.manual_seed(0)
    sizes = dict(vocab_size=64, width=16, layers=2, heads=2, max_length=10)
    if kind is BERTText:
        sizes["head_channels"] = 8
    conditioner = kind(**{**sizes, **changes})
    conditioner.set_tokenizer(conditioner.train_tokenizer(CAPTIONS * 3, 60))
    return conditioner


def test_bert_is_the_references() -> None:
    golden = load_file(ROOT / "tests" / "golden" / "conditioner.safetensors")
    ours = BERTText(30, 24, 2, 8, 9, 64).double()
    rows = {
        r"^token_embedding": ["token_emb"],
        r"^position_embedding": ["pos_emb.emb"],
        r"^layers\.(\d+)\.norm1": ["attn_layers.layers.{attention}.0"],
        r"^layers\.(\d+)\.qkv": [f"attn_layers.layers.{{attention}}.1.to_{x}" for x in "qkv"],
        r"^layers\.(\d+)\.out": ["attn_layers.layers.{attention}.1.to_out"],
        r"^layers\.(\d+)\.norm2": ["attn_layers.layers.{feed}.0"],
        r"^layers\.(\d+)\.feed_forward_in": ["attn_layers.layers.{feed}.1.net.0.0"],
        r"^layers\.(\d+)\.feed_forward_out": ["attn_layers.layers.{feed}.1.net.2"],
        r"^norm": ["norm"],
    }
    for name, parameter in ours.network.named_parameters():
        owner, _, kind = name.rpartition(".")
        (match, theirs), *others = [
            (m, t) for pattern, t in rows.items() if (m := re.match(pattern, owner))
        ]
        assert not others
        index = int(match[1]) if match.groups() else 0
        names = [f"{t.format(attention=2 * index, feed=2 * index + 1)}.{kind}" for t in theirs]
        shape = torch.Size((parameter.shape[0] // len(names), *parameter.shape[1:]))
        drawn = formula.weights(dict.fromkeys(names, shape))
        with torch.no_grad():
            parameter.copy_(torch.cat([drawn[name] for name in names]))
    tokens = ours(golden["bert.ids"]).tokens
    torch.testing.assert_close(tokens, golden["bert.tokens"], rtol=1e-10, atol=1e-10)
    assert golden["bert.tokens"].abs().max() > 0.5


def test_clip_is_transformers() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=40, hidden_size=24, intermediate_size=56, num_hidden_layers=2,
        num_attention_heads=3, max_position_embeddings=9, bos_token_id=38, eos_token_id=39,
    )  # fmt: skip
    theirs = formula.fill(transformers.CLIPTextModel(config)).eval()
    ours = CLIPText(40, 24, 2, 3, 9, feed_forward=56).double()
    state = {
        f"text_model.{k.removeprefix('text_model.')}": v for k, v in theirs.state_dict().items()
    }
    ours.network.load_state_dict({k: v for k, v in state.items() if "position_ids" not in k})
    ids = (formula.values("ids", 2, 9) * 20 + 20).long()
    with torch.no_grad():
        expected = theirs(input_ids=ids).last_hidden_state
    torch.testing.assert_close(ours(ids).tokens, expected, rtol=1e-10, atol=1e-10)


# LDM's holds 39,098,682 more in a head that is never used; with the U-Net's 872,300,484 that makes
# the paper's 1.45 billion.
@pytest.mark.parametrize(
    ("kind", "count"),
    [(CLIPText, 123_060_480), (BERTText, 581_994_042 - 39_098_682)],
    ids=["ViT-L/14", "LDM text-to-image"],
)
def test_published_sizes(kind: type, count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in kind().parameters()) == count


def test_published_tokenizers() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
    import json

    trained = json.loads(train_clip_tokenizer(CAPTIONS * 3, 60))["model"]
    vocab, merges = trained["vocab"], [tuple(pair) for pair in trained["merges"]]
    clip = CLIPText(64, 16, 1, 2, 10)
    clip.set_tokenizer(clip_tokenizer(vocab, merges))
    theirs = transformers.CLIPTokenizer(vocab=vocab, merges=merges)
    texts = [*CAPTIONS, "", "A  RED\nsquare's <|endoftext|> circle", "unknown: été ☃ " * 5]
    arguments = dict(padding="max_length", truncation=True, max_length=10, return_tensors="pt")
    assert torch.equal(clip.tokens(texts), theirs(texts, **arguments)["input_ids"])

    vocab = json.loads(train_bert_tokenizer(CAPTIONS * 3, 60))["model"]["vocab"]
    bert = BERTText(64, 16, 1, 2, 10, 8)
    bert.set_tokenizer(bert_tokenizer(vocab))
    theirs = transformers.BertTokenizerFast(vocab=vocab)
    texts = [*CAPTIONS, "", "A  RED\nsquare's [SEP] circle", "unknown: été ☃ " * 5]
    assert torch.equal(bert.tokens(texts), theirs(texts, **arguments)["input_ids"])


@pytest.mark.parametrize("kind", KINDS)
def test_captions_begin_end_and_are_filled(kind: type) -> None:
    conditioner = small(kind)
    ids = conditioner.tokens(["", "red", "red " * 30])
    start, end = ids[0, :2].tolist()
    assert ids.shape == (3, 10) and (ids[:, 0] == start).all()
    pad = end if kind is CLIPText else conditioner._parsed.token_to_id("[PAD]")
    assert ids[0, 2:].eq(pad).all() and ids[1, -1] == pad
    assert ids[2, -1] == end and not ids[2, 1:-1].eq(end).any()  # cut, but with its end
    condition = conditioner(["red", "red"])
    assert condition.tokens.shape == (2, 10, 16) and condition.mask is None
    assert condition.raw == ["red", "red"]
    torch.testing.assert_close(conditioner(ids[1:2]).tokens[0], condition.tokens[0])
    torch.testing.assert_close(conditioner.null(3).tokens, conditioner([""] * 3).tokens)
    assert not torch.allclose(condition.tokens[0], conditioner.null(1).tokens[0])


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_replaces_captions_by_the_empty_one(kind: type) -> None:
    conditioner, many = small(kind, dropout=0.3), ["a red square"] * 400
    draw = Draw(0, range(400), "dropout")
    dropped = conditioner(many, draw)
    gone = torch.tensor([caption == "" for caption in dropped.raw])
    assert 80 < gone.sum() < 160
    assert torch.equal(gone, Draw(0, range(400), "dropout").uniform() < 0.3)
    torch.testing.assert_close(dropped.tokens[gone], conditioner.null(int(gone.sum())).tokens)
    assert conditioner(many).raw == many  # not without a draw
    ids = conditioner(conditioner.tokens(many), Draw(0, range(400), "dropout"))
    torch.testing.assert_close(ids.tokens, dropped.tokens)
    assert conditioner.random(draw) == [""] * 400


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_file_is_complete(kind: type, tmp_path: Path) -> None:
    conditioner = small(kind, dropout=0.1, trainable=True)
    expected = conditioner(CAPTIONS).tokens
    loaded = load(save(conditioner, tmp_path / "text.safetensors"))
    assert loaded.trainable and loaded.dropout == 0.1
    for other in (loaded, copy.deepcopy(conditioner)):
        assert torch.equal(other(CAPTIONS).tokens, expected)
    state = conditioner.state_dict()
    third = small(kind)
    third.set_tokenizer(conditioner.train_tokenizer(["entirely other letters xyz"], 60))
    assert not torch.equal(third.tokens(CAPTIONS), conditioner.tokens(CAPTIONS))
    third.register_buffer("tokenizer", torch.zeros_like(conditioner.tokenizer))
    third.load_state_dict(state)  # new bytes are read anew
    assert torch.equal(third.tokens(CAPTIONS), conditioner.tokens(CAPTIONS))


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_or_trained(kind: type) -> None:
    frozen, trained = small(kind), small(kind, trainable=True)
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not frozen.train().network.training and trained.train().network.training
    assert not frozen(CAPTIONS).tokens.requires_grad
    tokens = trained(CAPTIONS).tokens
    (tokens * torch.randn(tokens.shape)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in trained.parameters())
    trained.set_trainable(False)
    assert not trained(CAPTIONS).tokens.requires_grad and not trained.network.training


@pytest.mark.parametrize("kind", KINDS)
def test_errors(kind: type) -> None:
    conditioner = small(kind)
    bare: TextConditioner = copy.deepcopy(conditioner)
    bare.tokenizer, bare._parsed = torch.zeros(0, dtype=torch.uint8), None
    with pytest.raises(ValueError, match="has no tokenizer"):
        bare(["a"])
    assert bare(torch.zeros(2, 10, dtype=torch.int64)).tokens.shape == (2, 10, 16)
    for wrong in (None, torch.zeros(3, dtype=torch.int64), torch.zeros(2, 10)):
        with pytest.raises(ValueError, match="conditioned on captions"):
            conditioner(wrong)
    with pytest.raises(ValueError, match="at most 10 tokens"):
        conditioner(torch.zeros(1, 11, dtype=torch.int64))
    with pytest.raises(ValueError, match="0 to 63"):
        conditioner(torch.full((1, 10), 64))
    with pytest.raises(ValueError, match="cannot be read"):
        conditioner.set_tokenizer(b"{}")
    with pytest.raises(ValueError, match="tokens, the text network 64"):
        conditioner.set_tokenizer(train_bert_tokenizer([" ".join(map(str, range(500)))], 200))
    other = train_clip_tokenizer if kind is BERTText else train_bert_tokenizer
    if kind is BERTText:  # CLIP's has no [PAD]
        with pytest.raises(ValueError, match="does not begin, end and fill"):
            conditioner.set_tokenizer(other(CAPTIONS, 60))
    with pytest.raises(ValueError, match="letters alone need"):
        kind.train_tokenizer(CAPTIONS, 8)
    with pytest.raises(ValueError, match=r"\[0, 1\), got 1"):
        small(kind, dropout=1.0)


def test_vocabularies_are_looked_at() -> None:
    with pytest.raises(ValueError, match="no vocabulary of CLIP"):
        clip_tokenizer({"a": 0}, [])
    with pytest.raises(ValueError, match=r"no vocabulary of BERT: it lacks \[PAD\]"):
        bert_tokenizer({"a": 0})


def test_a_class_table_without_a_null_row() -> None:
    table = ClassToken(5, 4, null_row=False)
    assert table.embedding.weight.shape == (5, 4)
    assert table(torch.tensor([4])).tokens.shape == (1, 1, 4)
    assert ClassToken(5, 4).embedding.weight.shape == (6, 4)
    with pytest.raises(ValueError, match="without condition"):
        table.null(1)
    with pytest.raises(ValueError, match="needs the null row"):
        ClassToken(5, 4, dropout=0.1, null_row=False)


@pytest.mark.parametrize("learn", [train_bert_tokenizer, train_clip_tokenizer])
def test_a_tokenizer_is_the_same_in_every_process(learn) -> None:
    script = (
        "import hashlib; from zoo.conditioner.tokenizer import *; "
        f"print(hashlib.sha256({learn.__name__}({CAPTIONS!r} * 3, 60)).hexdigest())"
    )
    printed = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
        for _ in range(2)
    }
    assert len({*printed, f"{hashlib.sha256(learn(CAPTIONS * 3, 60)).hexdigest()}\n"}) == 1
