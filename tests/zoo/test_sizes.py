"""model/size: every model has small settings that train on every size of images."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zoo import paths
from zoo.entry import compose
from zoo.records import Batch
from zoo.training import parts

MODELS = sorted(
    file.stem
    for file in (paths.configs() / "model").glob("*.yaml")
    if not file.stem.startswith("_")
)
DATA = {
    "digits": (1, 16),
    "cifar10": (3, 32),
    "folder": (3, 64),
}
UNCHANGED = ("small_clip", "small_extractor")


def composed(model: str, data: str, *more: str) -> Any:
    overrides = [f"model={model}", f"data={data}", *more]
    if data == "folder":
        overrides += ["data.folder=none", "data.image_size=64", "data.num_classes=10"]
    cfg = compose("train", overrides)
    if cfg.conditioner.get("num_classes") and cfg.data.condition == "none":
        return compose("train", [*overrides, "data.condition=label"])
    return cfg


def built(cfg: Any) -> Any:
    channels, pixels = DATA[cfg.data.name]
    facts = SimpleNamespace(
        name=cfg.data.name,
        shape=(channels, pixels, pixels),
        condition=cfg.data.condition,
        num_classes=10,
        train=SimpleNamespace(captions=["a nine", "a ten"]),
    )
    return parts.module(cfg, facts)


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The file of an untrained autoencoder of the tiny size, by the data's name."""
    folder = tmp_path_factory.mktemp("autoencoders")

    @functools.cache
    def file(data: str) -> Path:
        return built(composed("autoencoder", data, "model/size=tiny")).save(folder / f"{data}.st")

    return file


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_tiny_size_of_its_own_recipe(model: str) -> None:
    own, tiny = (composed(model, "cifar10", *more) for more in ([], ["model/size=tiny"]))
    assert tiny.model_size == "tiny"
    assert composed(model, "cifar10", "model/size=paper") == own
    if model in UNCHANGED:
        assert {key: tiny[key] for key in own} == dict(own.items())
        return
    assert (tiny.trainer.max_steps, tiny.data.batch_size) == (1000, 32)
    assert composed(model, "digits", "model/size=tiny").trainer.max_steps == 2000
    explicit = composed(model, "cifar10", "model/size=tiny", "trainer.max_steps=7")
    assert explicit.trainer.max_steps == 7


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("model", [model for model in MODELS if model not in UNCHANGED])
def test_a_tiny_model_takes_a_step(model: str, data: str, autoencoder: Any) -> None:
    cfg = composed(model, data, "model/size=tiny")
    if parts.wants_autoencoder(cfg):
        cfg.autoencoder = str(autoencoder(data))
    module = built(cfg)
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) < 2.5e6
    channels, pixels = DATA[data]
    batch = Batch(torch.rand(2, channels, pixels, pixels) * 2 - 1, condition=torch.tensor([3, 4]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*self.log.*")
        loss = module.training_step(batch, 0)["loss"]
    loss.backward()
    assert loss.isfinite()


def test_a_model_without_such_settings_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "plain.yaml").write_text("# mine\ndefaults: [_parts, _self_]\n")
    assert compose("train", ["model=plain"], [tmp_path]).model_name == "plain"
    with pytest.raises(ValueError, match="model/size=tiny has no sizes of model=plain, but of"):
        compose("train", ["model=plain", "model/size=tiny"], [tmp_path])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("data", ["digits", "cifar10"])
def test_folders_and_runs_say_data_model_and_seed(model: str, data: str) -> None:
    cfg = composed(model, data, "seed=3", "logger=wandb")
    assert cfg.run_dir == f"runs/{data}-{model}-seed3"
    wandb = cfg.logger.wandb
    assert (wandb.name, wandb.group, wandb.job_type) == (
        f"{data}-{model}-seed3",
        f"{data}-{model}",
        "train",
    )
