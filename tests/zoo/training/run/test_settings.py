"""Which settings decide the result of a training, and how two trainings' are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from zoo.entry import compose
from zoo.training.run.contents import settings_here
from zoo.training.run.settings import FREE, differences, in_words, is_fixed, shaping

CFG = compose("train", ["model=ddpm", "data=folder", "data.folder=pictures"])
FREELY = {
    "trainer.max_steps": 7, "trainer.val_check_interval": 3, "trainer.limit_val_batches": 0,
    "trainer.log_every_n_steps": 3, "trainer.devices": 2, "trainer.num_nodes": 4,
    "trainer.strategy": {"_target_": "lightning.pytorch.strategies.DDPStrategy"},
    "trainer.accelerator": "cpu", "trainer.max_time": "00:01:00:00", "trainer.profiler": "simple",
    "logger": None, "logger.csv.path": "elsewhere.csv", "callbacks": None,
    "callbacks.sample_grid": None, "callbacks.training_state.every_n_steps": 5,
    "callbacks.own": {"_target_": "mine.Callback"}, "run_dir": "elsewhere", "ckpt_path": "auto",
    "allow_changes": True, "sampler.num_steps": 3, "guidance.scale": 3.0, "model_name": "other",
    "channels_last": True, "compile": True, "trust": ["mine"], "data.folder": "moved",
    # what is written out, but the default of its class
    "data.crop_from": None, "recipe.optimizer.eps": 1e-8, "trainer.overfit_batches": 0.0,
}  # fmt: skip


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    cfg = CFG.copy()
    for key, value in changes.items():
        OmegaConf.update(cfg, key, value, force_add=True)
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    return config


@pytest.mark.parametrize("key", FREELY)
def test_what_may_change_freely_does_not_differ(key: str) -> None:
    assert list(differences(shaping(changed({})), shaping(changed({key: FREELY[key]})))) == []


def test_every_key_is_shaping_until_it_is_named_free() -> None:
    config = changed({})
    assert set(shaping(config)) == set(config) - FREE
    for key in ("nobody", "trainer.nobody", "data.nobody", "recipe.nobody", "model.nobody.knows"):
        (change,) = differences(shaping(config), shaping(changed({key: 1})))
        assert f"{change.key}.".startswith(".".join(key.split(".")[:2]))


@pytest.mark.parametrize(
    "kind",
    ["zoo.callbacks.ScaleByStd", "lightning.pytorch.callbacks.GradientAccumulationScheduler"],
)
def test_a_callback_that_shapes_the_result_is_no_free_one(kind: str) -> None:
    now = shaping(changed({"callbacks.other": {"_target_": kind}}))
    assert [change.key for change in differences(shaping(changed({})), now)] == ["callbacks"]


def test_a_key_that_only_one_has_is_compared_with_the_default_of_its_class() -> None:
    node = {"_target_": "zoo.callbacks.EMA"}
    (change,) = differences({"ema": node}, {"ema": {**node, "decay": 0.5}})
    assert change == ("ema.decay", 0.9999, 0.5)
    assert list(differences({"ema": {**node, "decay": 0.5}}, {"ema": node})) == [
        ("ema.decay", 0.5, 0.9999)
    ]


def test_a_long_list_of_differences_is_cut() -> None:
    changes = list(differences({}, dict.fromkeys("abcde", 1)))
    assert in_words(changes) == "a was None, now 1; b was None, now 1; c was None, now 1 and 2 more"
    assert is_fixed("autoencoder") and is_fixed("model.image_shape") and not is_fixed("model.image")


@pytest.mark.parametrize("key", ["autoencoder", "text_encoder", "tokenizer"])
def test_a_file_is_its_content_wherever_it_lies(tmp_path: Path, key: str) -> None:
    files = [tmp_path / name for name in ("a.safetensors", "moved.safetensors", "b.safetensors")]
    for file, content in zip(files, (b"one", b"one", b"two"), strict=True):
        file.write_bytes(content)
    a, moved, b = (settings_here(changed({key: str(file)})) for file in files)
    assert a == moved
    assert [change.key for change in differences(a, b)] == [key]


@pytest.mark.parametrize(
    ("one", "other"), [(32, "32-true"), ("bf16", "bf16-mixed"), ("16", "16-mixed"), (64, "64")]
)
def test_one_precision_has_several_names(one: object, other: object) -> None:
    settings = [
        settings_here(changed({"trainer.precision": name, "trainer.accelerator": "cpu"}))
        for name in (one, other)
    ]
    assert settings[0] == settings[1]
    auto = settings_here(changed({"trainer.accelerator": "cpu"}))
    assert auto["trainer"]["precision"] in ("32-true", "bf16-mixed")
