from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.checkpoint import save
from zoo.conditioner import BERTText, CLIPText
from zoo.first_stage import KLAutoencoder
from zoo.models.autoencoder import Autoencoder
from zoo.training.train import train

SMALL = [
    "conditioner.vocab_size=64",
    "conditioner.width=16",
    "conditioner.layers=1",
    "conditioner.heads=2",
    "conditioner.max_length=8",
]
MODEL = [
    "model=guided_latent_diffusion",
    "model.denoiser.in_channels=2",
    "model.denoiser.out_channels=2",
    "model.denoiser.attention_at=[1]",
    "recipe.ema=null",
    "trainer.max_steps=1",
]


@pytest.fixture
def autoencoder(tmp_path: Path) -> str:
    first_stage = KLAutoencoder(1, 2, 8, (1, 2), 1, mid_attention=False, norm_groups=4)
    return f"autoencoder={save(Autoencoder(first_stage), tmp_path / 'ae.safetensors')}"


@pytest.mark.parametrize("name", ["clip_text", "bert_text"])
def test_a_text_model_of_digits_trains_and_reads_captions_after_a_load(
    config: Any, tmp_path: Path, autoencoder: str, name: str
) -> None:
    text = [f"conditioner={name}", *SMALL, "conditioner.trainable=true"]
    path = train(config(tmp_path / "run", *MODEL, *text, autoencoder))
    model = zoo.load(path)
    assert 0 < model.conditioner.tokenizer_bytes < 10_000
    ids = model.conditioner.tokens(["a handwritten seven", "a handwritten one"])
    assert ids.shape == (2, 8) and not torch.equal(ids[0], ids[1])
    one, seven = (
        model.generate(1, [f"a handwritten {digit}"], batch_size=1) for digit in ("one", "seven")
    )
    assert one.shape == seven.shape == (1, 1, 16, 16)

    # its text encoder serves another training, frozen, with its own tokenizer
    frozen = [f"text_encoder={path}", "conditioner.trainable=false", "conditioner.dropout=0.2"]
    again = zoo.load(train(config(tmp_path / "again", *MODEL, *text, autoencoder, *frozen)))
    assert torch.equal(again.conditioner.tokens(["one"]), model.conditioner.tokens(["one"]))
    assert again.conditioner.dropout == 0.2 and not again.conditioner.trainable
    theirs = dict(model.conditioner.named_parameters())
    assert all(torch.equal(p, theirs[n]) for n, p in again.conditioner.named_parameters())


def test_a_tokenizer_file_is_taken(config: Any, tmp_path: Path, autoencoder: str) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes(BERTText.train_tokenizer(["a handwritten zero"], 40))
    text = ["conditioner=bert_text", *SMALL, f"tokenizer={file}"]
    model = zoo.load(train(config(tmp_path / "run", *MODEL, *text, autoencoder)))
    assert model.conditioner.tokenizer_bytes == file.stat().st_size


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["conditioner=clip_text"], "frozen at random weights"),
        (["conditioner=bert_text", "data.condition=label"], "needs captions"),
        (["conditioner=bert_text", "tokenizer=/nowhere"], "tokenizer=/nowhere: no such file"),
        (["conditioner=bert_text", "conditioner.vocab_size=9"], "letters alone need"),
        (["conditioner=bert_text", "text_encoder=/nowhere"], "/nowhere: no such file"),
        (["conditioner=bert_text", "text_encoder={autoencoder}"], "holds a Autoencoder, no text"),
        (["conditioner=class_token", "text_encoder={text}"], "is for a model that reads captions"),
    ],
)
def test_what_cannot_read_captions_is_refused(
    config: Any, tmp_path: Path, autoencoder: str, overrides: list[str], message: str
) -> None:
    text = save(CLIPText(64, 16, 1, 2, 8), tmp_path / "text.safetensors")
    known = {"autoencoder": autoencoder.partition("=")[2], "text": text}
    overrides = [override.format(**known) for override in overrides]
    sizes = [] if "conditioner=class_token" in overrides else SMALL
    with pytest.raises(ValueError, match=message):
        train(config(tmp_path / "run", *MODEL, *sizes, autoencoder, *overrides))
    assert not (tmp_path / "run").exists()
