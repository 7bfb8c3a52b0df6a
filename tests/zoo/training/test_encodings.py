"""A training from what is kept is the training without; ``zoo train`` says what it does."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zoo import checkpoint, paths
from zoo.callbacks import ScaleByStd, ScaleByTrainSet
from zoo.checkpoint import save
from zoo.conditioner import BERTText, CLIPText
from zoo.draw import Draw
from zoo.encodings.captions import Embeddings, captions_request, distinct
from zoo.encodings.entry import Entry, entry
from zoo.first_stage import KLAutoencoder, VQAutoencoder
from zoo.models.autoencoder import Autoencoder
from zoo.training import encodings, parts, provenance
from zoo.training.train import train

MODEL = [
    "model=guided_latent_diffusion",
    "model.denoiser.in_channels=2",
    "model.denoiser.out_channels=2",
    "model.denoiser.attention_at=[1]",
    "recipe.ema=null",
    "trainer.max_steps=4",
    "trainer.log_every_n_steps=1",
    "trainer.limit_val_batches=2",
    "trainer.val_check_interval=2",
    "callbacks.sample_grid=null",
]
LABELS = ["conditioner=class_token", "denoiser_inputs.context_dim=16"]
TEXT = [
    "conditioner=clip_text", "conditioner.vocab_size=64", "conditioner.width=16",
    "conditioner.layers=1", "conditioner.heads=2", "conditioner.max_length=8",
    "conditioner.dropout=0.4",
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def few_digits(digits: Any, config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.data import Digits, ImageSet

    few = [
        ImageSet(s.images[:n], s.labels[:n], s.captions[:n], s.class_names)
        for s, n in zip(digits, (8, 7), strict=True)
    ]
    monkeypatch.setattr(Digits, "load", lambda self: few)


def autoencoder(folder: Path, kind: Any = KLAutoencoder, seed: int = 0) -> str:
    torch.manual_seed(seed)
    first_stage = kind(1, 2, 8, (1, 2), 1, mid_attention=False, norm_groups=4)
    first_stage.set_scale([0.1, -0.2], [1.5, 2.0])
    file = save(Autoencoder(first_stage), folder / f"{kind.__name__}{seed}.safetensors")
    return f"autoencoder={file}"


def text_encoder(folder: Path) -> str:
    torch.manual_seed(2)
    conditioner = CLIPText(64, 16, 1, 2, 8)
    conditioner.set_tokenizer(CLIPText.train_tokenizer(["a handwritten zero three"], 64))
    for parameter in conditioner.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return f"text_encoder={save(conditioner, folder / 'text.safetensors')}"


def curves(rows: list[dict[str, str]]) -> dict[int, tuple[float, ...]]:
    """Losses and the gradient's norm by step, whatever rows a step's values came in."""
    steps: dict[int, dict[str, str]] = {}
    for row in rows:
        steps.setdefault(int(row["step"]), {}).update({k: v for k, v in row.items() if v})
    names = ("train/loss", "train/gradient_norm", "validation/loss")
    return {step: tuple(float(row.get(name, 0)) for name in names) for step, row in steps.items()}


def used(cfg: Any) -> list[Entry]:
    """What a training of this config would read, without the training."""
    data = parts.data_module(cfg)
    return encodings.use_encodings(cfg, parts.module(cfg, data), data)


def test_curves_and_weights_are_those_without(
    config: Any, tmp_path: Path, rows: Any, state: Any, assert_equal: Any
) -> None:
    """With latents, with captions that are dropped in some steps, and resumed in the middle."""
    which = [*MODEL, *TEXT, autoencoder(tmp_path), text_encoder(tmp_path)]
    train(config(tmp_path / "without", *which, "latent_cache=off", "caption_cache=off"))
    train(config(tmp_path / "kept", *which, "trainer.max_steps=2"))
    train(config(tmp_path / "kept", *which, "ckpt_path=last"))
    without, kept = (curves(rows(tmp_path / name)) for name in ("without", "kept"))
    assert len(without) >= 4 and any(row[2] for row in without.values())
    for step, expected in without.items():
        assert kept[step] == pytest.approx(expected, rel=1e-6, abs=1e-6)
    weights = [state(tmp_path / name)["state_dict"] for name in ("without", "kept")]
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=1e-5)
    for kind in ("latents", "captions"):
        assert len(list((paths.cache() / kind).iterdir())) == 1


def test_provenance_says_where_latents_and_scale_come_from(config: Any, tmp_path: Path) -> None:
    cfg = config(tmp_path / "run", *MODEL, *LABELS, autoencoder(tmp_path), "trainer.max_steps=1")
    callback = SimpleNamespace(callbacks=[])
    data = parts.data_module(cfg)

    def recorded() -> tuple[str, str, str | None]:
        facts = provenance._autoencoder(cfg, data, callback)  # type: ignore[arg-type]
        return facts["latents"], facts["scale"], facts["latents_key"]

    assert recorded() == ("encoded in each step", "its own", None)
    cfg.cache_only = True
    (kept,) = encodings.use_encodings(cfg, parts.module(cfg, data), data)
    callback.callbacks = [ScaleByStd()]
    assert recorded() == ("cached, float32", "first batch", kept.key)
    callback.callbacks = [ScaleByTrainSet()]
    assert recorded()[1] == "train set"
    cfg.cache_only = False
    facts = checkpoint.provenance(train(cfg))["autoencoder"]
    assert (facts["latents"], facts["latents_key"]) == ("cached, float32", kept.key)


@pytest.mark.parametrize(
    ("choices", "kept"),
    [
        (["trainer.max_steps=4"], True),  # 16 images are read, 15 are there to be encoded
        (["trainer.max_steps=3"], False),
        (["trainer.max_steps=2", "trainer.accumulate_grad_batches=2"], True),
        (["trainer.max_steps=4", "latent_cache=off"], False),
        (["trainer.max_steps=4", "latent_cache=false"], False),  # as yaml reads off
        (["trainer.max_steps=1", "cache_only=true"], True),
        (["trainer.max_steps=1", "latent_cache={tmp_path}/here"], True),
    ],
)
def test_auto_keeps_what_is_worth_it(
    config: Any, tmp_path: Path, choices: list[str], kept: bool
) -> None:
    choices = [choice.format(tmp_path=tmp_path) for choice in choices]
    which = [*MODEL, *LABELS, autoencoder(tmp_path, VQAutoencoder)]
    assert [entry.kind for entry in used(config(tmp_path / "run", *which, *choices))] == (
        ["latents"] * kept
    )
    here = choices[-1].startswith("latent_cache=/")
    assert (tmp_path / "here" / "complete.json").is_file() is here
    again = used(config(tmp_path / "run", *which, "trainer.max_steps=1"))
    assert bool(again) is (kept and not here)  # a short training reads what is there


def test_nothing_is_trained_where_only_the_cache_is_asked_for(config: Any, tmp_path: Path) -> None:
    cfg = config(tmp_path / "run", *MODEL, *LABELS, autoencoder(tmp_path), "cache_only=true")
    assert train(cfg).parent == paths.cache() / "latents"
    assert not (tmp_path / "run").exists()


def test_what_is_asked_for_and_cannot_be_is_refused(config: Any, tmp_path: Path) -> None:
    own, other = autoencoder(tmp_path), autoencoder(tmp_path, seed=1)
    which = [*MODEL, *LABELS, own]
    write = ["cache_only=true", f"latent_cache={tmp_path}/other"]
    used(config(tmp_path / "run", *which[:-1], other, *write))
    half = [f"latent_cache={tmp_path}/half", "cache_dtype=float16"]
    used(config(tmp_path / "run", *which, *half))
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "thesis.pdf").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.csv").touch()  # of an earlier run, which stays in its place
    for overrides, message in (
        ([f"latent_cache={tmp_path}/other"], "it was made by another autoencoder"),
        ([f"latent_cache={tmp_path}/half"], "it holds float16: set cache_dtype=float16"),
        ([f"latent_cache={tmp_path}/users"], "is not a cache of latents: give another path"),
        ([f"caption_cache={tmp_path}/x"], "encodes no such thing; leave caption_cache out"),
        (["latent_cache=off", "cache_only=true"], "this training has nothing to keep"),
    ):
        with pytest.raises(ValueError, match=message):
            train(config(tmp_path / "run", *which, *overrides))
    assert (tmp_path / "run" / "metrics.csv").is_file()


def test_pixel_models_keep_nothing(config: Any, tmp_path: Path) -> None:
    assert used(config(tmp_path / "run", "trainer.max_steps=8")) == []
    with pytest.raises(ValueError, match="this DDPM encodes no such thing; leave latent_cache out"):
        used(config(tmp_path / "run", f"latent_cache={tmp_path}/x"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uncut": object()}, "data.crop_from cuts another square in each epoch: latents are not"),
        ({"train": object()}, "digits does not give images by their number: latents are not"),
    ],
)
def test_what_cannot_be_kept_is_said_and_trains_without(
    config: Any, tmp_path: Path, capsys: Any, change: dict[str, Any], message: str
) -> None:
    cfg = config(tmp_path / "run", *MODEL, *LABELS, autoencoder(tmp_path))
    data = parts.data_module(cfg)
    module = parts.module(cfg, data)
    for name, value in change.items():
        setattr(data, name, value)
    assert encodings.use_encodings(cfg, module, data) == []
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    cfg.latent_cache = str(tmp_path / "here")
    with pytest.raises(ValueError, match=message):
        encodings.use_encodings(cfg, module, data)


@pytest.mark.parametrize("obstacle", ["no room", "a full disk", "a folder of others"])
def test_a_full_disk_costs_the_cache_and_not_the_run(
    config: Any, tmp_path: Path, monkeypatch: Any, capsys: Any, obstacle: str
) -> None:
    if obstacle == "no room":
        monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1))
    elif obstacle == "a full disk":

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("zoo.encodings.entry.write_entry", full)
    else:
        (tmp_path / "cache").touch()
    cfg = config(tmp_path / "run", *MODEL, *LABELS, autoencoder(tmp_path))
    assert used(cfg) == []
    assert "latents are encoded in each step: " in capsys.readouterr().err
    cfg.latent_cache = str(tmp_path / "cache" / "here")
    with pytest.raises(ValueError, match="latent_cache="):
        used(cfg)


def test_a_set_that_is_large_is_not_looked_at_for_a_short_training(
    config: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    cfg = config(tmp_path / "run", *MODEL, *LABELS, autoencoder(tmp_path), "trainer.max_steps=1")
    data = parts.data_module(cfg)
    data.train.in_memory = False
    monkeypatch.setattr(encodings, "latents_request", None)
    assert encodings.use_encodings(cfg, parts.module(cfg, data), data) == []


# Captions


def text(kind: Any) -> Any:
    torch.manual_seed(4)
    conditioner = kind(64, 12, 1, 2, 8, dropout=0.5, trainable=False)
    conditioner.set_tokenizer(kind.train_tokenizer(["a word or two"], 64))
    return conditioner.train()


CAPTIONS = ["two words", "a word", "two words", "", "two two two two two two two two two two"]


@pytest.mark.parametrize("kind", [CLIPText, BERTText])
def test_captions_are_looked_up(tmp_path: Path, kind: Any, monkeypatch: Any) -> None:
    conditioner = text(kind)
    draw = lambda: Draw(0, range(5), "dropout")  # noqa: E731
    expected = conditioner(CAPTIONS), conditioner(CAPTIONS, draw())
    assert expected[1].raw != CAPTIONS  # some are dropped
    known = distinct(CAPTIONS)
    assert known == ["", "a word", CAPTIONS[-1], "two words"]
    kept = entry(tmp_path / "kept", captions_request(conditioner, known, "few", "float32"))
    conditioner.embeddings = Embeddings(kept, known)
    ids = conditioner.tokens(CAPTIONS)
    by_ids = conditioner(ids).tokens
    with monkeypatch.context() as patch:
        patch.setattr(conditioner, "_encode", None)
        for one, other in zip(
            (conditioner(CAPTIONS), conditioner(CAPTIONS, draw())), expected, strict=True
        ):
            torch.testing.assert_close(one.tokens, other.tokens, rtol=0, atol=1e-6)
            assert one.raw == other.raw
    torch.testing.assert_close(by_ids, expected[0].tokens)
    unknown = conditioner(["another", "two words"]).tokens  # such as a prompt
    torch.testing.assert_close(unknown[1], expected[0].tokens[0])
    conditioner.set_trainable(True)
    assert conditioner(CAPTIONS).tokens.requires_grad


@pytest.mark.parametrize("kind", [CLIPText, BERTText])
def test_the_key_of_captions_is_of_weights_tokenizer_and_captions(kind: Any) -> None:
    def key(conditioner: Any, captions: list[str] = CAPTIONS) -> str:
        return captions_request(conditioner, distinct(captions), "few", "float32").key

    conditioner = text(kind)
    first = key(conditioner)
    assert key(conditioner, [*CAPTIONS[::-1], "a word"]) == first
    assert key(conditioner, [*CAPTIONS, "more"]) != first
    conditioner.dropout = 0.0
    assert key(conditioner) == first
    conditioner.set_tokenizer(kind.train_tokenizer(["other words"], 64))
    assert key(conditioner) != first
    conditioner = text(kind)
    next(conditioner.parameters()).data.view(-1)[0] += 1e-3
    assert key(conditioner) != first
