"""A run that is resumed under other settings: refused by name, or changed and recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image

import zoo
from zoo import checkpoint
from zoo.entry import compose
from zoo.models.ddpm import DDPM
from zoo.training.train import train

OVERRIDES = [
    "model=ddpm", "model.denoiser.channels=32", "model.denoiser.channel_mult=[1]",
    "model.denoiser.attention_at=[]", "model.denoiser.num_res_blocks=1",
    "model.denoiser.dropout=0.0", "sampler.num_steps=2", "data=folder", "data.image_size=8",
    "data.batch_size=2", "trainer=cpu", "trainer.precision=32-true", "trainer.max_steps=2",
    "trainer.log_every_n_steps=1", "trainer.limit_val_batches=0", "callbacks.sample_grid=null",
    "recipe.lr_scheduler.num_steps=5", "data.condition=none",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two steps, beside the pictures that it was trained on."""
    folder = tmp_path_factory.mktemp("changes")
    pixels = np.random.default_rng(0)
    for name in "abcdefghij":
        (folder / "pictures" / "ab"[name > "e"]).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels.integers(0, 255, (8, 8, 3), dtype=np.uint8))
        image.save(folder / "pictures" / "ab"[name > "e"] / f"{name}.png")
    train(compose("train", [*OVERRIDES, *_places(folder)]))
    return folder / "run"


def _places(folder: Path) -> list[str]:
    return [f"data.folder={folder / 'pictures'}", f"run_dir={folder / 'run'}"]


@pytest.fixture(scope="module")
def composed(finished: Path) -> Callable[..., Any]:
    """The run's config with some of its keys changed, composed but once."""
    base = compose("train", [*OVERRIDES, *_places(finished.parent)])

    def config(run_dir: Path, changes: dict[str, Any]) -> Any:
        cfg = base.copy()
        cfg.run_dir = str(run_dir)
        cfg.trainer.max_steps, cfg.ckpt_path = 4, "last"
        for key, value in changes.items():
            OmegaConf.update(cfg, key, value, force_add=True, merge=not isinstance(value, dict))
        return cfg

    return config


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


VELOCITY = {"_target_": "zoo.diffusion.parameterization.Velocity"}
COSINE = {"_target_": "zoo.schedule.cosine.Cosine", "num_timesteps": 1000}
STRATIFIED = {"_target_": "zoo.diffusion.time_sampler.Stratified"}
REFUSED: dict[str, Any] = {
    "seed": 1,
    "recipe.optimizer.lr": 0.5,
    "recipe.optimizer.betas": [0.5, 0.9],
    "recipe.optimizer.weight_decay": 0.1,
    "recipe.optimizer.eps": 1e-4,
    "recipe.optimizer._target_": "torch.optim.Adam",
    "recipe.lr_scheduler": None,
    "recipe.lr_scheduler.num_steps": 9,
    "recipe.ema": None,
    "recipe.ema.decay": 0.5,
    "recipe.ema.warmup": False,
    "recipe.time_sampler": STRATIFIED,
    "trainer.accumulate_grad_batches": 2,
    "trainer.gradient_clip_val": None,
    "trainer.gradient_clip_algorithm": "value",
    "trainer.precision": "bf16-mixed",
    "trainer.limit_train_batches": 3,
    "trainer.overfit_batches": 2,
    "model.diffusion.schedule": COSINE,
    "schedule.beta_end": 0.03,
    "model.diffusion.parameterization": VELOCITY,
    "model.diffusion.objective": {"_target_": "zoo.diffusion.objective.MinSNR"},
    "variance.fraction": 0.5,
    "model.conditioner": {"_target_": "zoo.conditioner.class_label.ClassLabel", "num_classes": 2},
    "model.denoiser.channels": 64,
    "model.denoiser.dropout": 0.2,
    "model.clock.scale": 2.0,
    "data.batch_size": 4,
    "data.flip": True,
    "data.crop_from": 16,
    "data.image_size": 16,
    "data.condition": "label",
    "data.caption_of_class": "a {}",
    "data.class_names": ["a", "b"],
    "data.test_fraction": 0.2,
    "data.split_seed": 1,
    "data.on_broken": "skip",
    "data.seed": 3,
    "data.memory_limit_gb": 1e-9,
    "callbacks": {"scale": {"_target_": "zoo.callbacks.ScaleByStd"}},
    "nobody_knows": 1,
}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
@pytest.mark.parametrize("key", REFUSED)
def test_other_settings_are_refused_by_name_and_nothing_is_touched(
    finished: Path, composed: Callable[..., Any], tmp_path: Path, key: str, elsewhere: bool
) -> None:
    run_dir = tmp_path / "other" if elsewhere else finished
    place = {"ckpt_path": str(finished / "last.ckpt")} if elsewhere else {}
    before = content(finished)
    with pytest.raises(ValueError, match=rf"last\.ckpt cannot be resumed: .*{key}") as refused:
        train(composed(run_dir, {**place, key: REFUSED[key]}))
    said = str(refused.value)
    assert "\n" not in said and "allow_changes=true" in said
    assert content(finished) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["a pixel", "a file more", "a class"])
def test_other_data_under_the_same_name_are_refused(
    finished: Path, composed: Callable[..., Any], tmp_path: Path, change: str
) -> None:
    pictures = tmp_path / "pictures"
    shutil.copytree(finished.parent / "pictures", pictures)
    moved = {"data.folder": str(pictures), "run_dir": str(tmp_path / "run")}
    settings = {**moved, "ckpt_path": str(finished / "last.ckpt"), "trainer.max_steps": 3}
    if change == "a pixel":
        for file in pictures.rglob("*.png"):
            pixels = np.asarray(Image.open(file)).copy()
            pixels[0, 0, 0] ^= 1
            Image.fromarray(pixels).save(file)
    elif change == "a file more":
        shutil.copy(pictures / "a" / "a.png", pictures / "a" / "aa.png")
    else:
        (pictures / "a" / "a.png").rename(pictures / "b" / "a.png")
    with pytest.raises(ValueError, match=r"cannot be resumed: data\.content\.t"):
        train(composed(tmp_path / "run", settings))
    assert not (tmp_path / "run").exists()


def test_data_that_were_moved_are_the_same(
    finished: Path, composed: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(finished.parent / "pictures", tmp_path / "pictures")
    state = str(finished / "last.ckpt")
    moved = {"data.folder": str(tmp_path / "pictures"), "ckpt_path": state, "trainer.max_steps": 3}
    assert train(composed(tmp_path / "run", moved)).is_file()


FIXED: dict[str, Any] = {
    "recipe.optimizer._target_": "torch.optim.Adam",
    "recipe.optimizer.amsgrad": True,
    "trainer.limit_train_batches": 3,
    "data.batch_size": 4,
    "data.image_size": 16,
    "model.denoiser.channels": 64,
    "model.denoiser.num_res_blocks": 2,
}


@pytest.mark.parametrize("key", FIXED)
def test_what_no_training_can_change_is_refused_even_so(
    finished: Path, composed: Callable[..., Any], key: str
) -> None:
    before = content(finished)
    with pytest.raises(ValueError, match=rf"cannot be resumed: .*{key}.*set it back"):
        train(composed(finished, {key: FIXED[key], "allow_changes": True}))
    assert content(finished) == before


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The optimizer's settings in every training step, and what the step was made with."""
    seen: list[dict[str, Any]] = []
    step = DDPM.training_step

    def spy(self: Any, batch: Any, batch_idx: int) -> Any:
        optimizer = self.trainer.optimizers[0]
        group = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
        seen.append({**group, "module": self, "trainer": self.trainer, "seed": self.training_seed})
        return step(self, batch, batch_idx)

    monkeypatch.setattr(DDPM, "training_step", spy)
    return seen


def recorded(run: Path) -> dict[str, tuple[int, Any, Any]]:
    """The changes in the state, which config.yaml and the model's provenance agree with."""
    changes = torch.load(run / "last.ckpt", weights_only=True)["run"]["changes"]
    assert yaml.safe_load((run / "config.yaml").read_text())["changes"] == changes
    facts = checkpoint.provenance(run / "model.safetensors")
    assert facts["changes"] == json.loads(json.dumps(changes))
    assert all(change["key"] in facts["budget"]["changes"] for change in changes)
    return {change["key"]: (change["step"], change["old"], change["new"]) for change in changes}


def test_changed_rates_are_used_from_then_on_and_recorded(
    run: Path, composed: Callable[..., Any], steps: list[dict[str, Any]]
) -> None:
    changes = {
        "recipe.optimizer.lr": 0.01,
        "recipe.optimizer.betas": [0.5, 0.9],
        "recipe.optimizer.weight_decay": 0.1,
        "recipe.lr_scheduler.num_steps": 10,
    }
    train(composed(run, {**changes, "allow_changes": True}))
    assert [s["lr"] for s in steps] == pytest.approx([0.01 * 3 / 10, 0.01 * 4 / 10])
    assert [(s["betas"], s["weight_decay"]) for s in steps] == [((0.5, 0.9), 0.1)] * 2
    assert recorded(run) == {
        "recipe.optimizer.lr": (2, 2e-4, 0.01),
        "recipe.optimizer.betas": (2, [0.9, 0.999], [0.5, 0.9]),
        "recipe.optimizer.weight_decay": (2, 0.0, 0.1),
        "recipe.lr_scheduler.num_steps": (2, 5, 10),
    }
    # they are now the settings of the run, and a second change comes after the first
    steps.clear()
    train(composed(run, {**changes, "trainer.max_steps": 5}))
    assert steps[0]["lr"] == pytest.approx(0.01 * 5 / 10)
    again = {**changes, "recipe.optimizer.lr": 0.02, "trainer.max_steps": 6}
    with pytest.raises(ValueError, match=r"recipe\.optimizer\.lr was 0\.01, now 0\.02"):
        train(composed(run, again))
    steps.clear()
    train(composed(run, {**again, "allow_changes": True}))
    assert steps[0]["lr"] == pytest.approx(0.02 * 6 / 10)
    all_changes = torch.load(run / "last.ckpt", weights_only=True)["run"]["changes"]
    assert [(c["step"], c["new"]) for c in all_changes if c["key"] == "recipe.optimizer.lr"] == [
        (2, 0.01),
        (5, 0.02),
    ]


COSINE_RATE = {
    "_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "_partial_": True, "T_max": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [
        (None, lambda step: 1.0),
        (COSINE_RATE, lambda step: (1 + np.cos(np.pi * step / 8)) / 2),
    ],
    ids=["none", "another"],
)
def test_another_schedule_goes_on_as_if_it_had_always_been_there(
    run: Path,
    composed: Callable[..., Any],
    steps: list[dict[str, Any]],
    schedule: Any,
    rate: Callable[[int], float],
) -> None:
    change = {"recipe.lr_scheduler": schedule, "allow_changes": True}
    train(composed(run, {**change, "trainer.max_steps": 3}))
    train(composed(run, {**change, "trainer.max_steps": 4}))
    assert [s["lr"] for s in steps] == pytest.approx([2e-4 * rate(2), 2e-4 * rate(3)])
    assert all(step == 2 for step, _, _ in recorded(run).values())
    back = {"recipe.lr_scheduler": {**COSINE_RATE, "T_max": 16}, "allow_changes": True}
    train(composed(run, {**back, "trainer.max_steps": 5}))
    assert steps[-1]["lr"] == pytest.approx(2e-4 * (1 + np.cos(np.pi * 4 / 16)) / 2)


def test_everything_else_that_can_change_is_used_and_recorded(
    run: Path, composed: Callable[..., Any], steps: list[dict[str, Any]]
) -> None:
    changes: dict[str, Any] = {
        "seed": 7,
        "recipe.ema.decay": 0.25,
        "recipe.ema.warmup": False,
        "recipe.time_sampler": STRATIFIED,
        "trainer.accumulate_grad_batches": 2,
        "trainer.gradient_clip_val": 0.125,
        "trainer.precision": "bf16-mixed",
        "model.diffusion.schedule": COSINE,
        "model.diffusion.parameterization": VELOCITY,
        "model.diffusion.objective": {"_target_": "zoo.diffusion.objective.MinSNR"},
        "model.denoiser.dropout": 0.5,
        "data.flip": True,
        "data.test_fraction": 0.3,
    }
    path = train(composed(run, {**changes, "allow_changes": True}))
    keys = set(recorded(run))
    assert {"data.seed", "data.content.train", "data.content.test"} <= keys
    for key in changes:
        assert any(f"{other}.".startswith(f"{key}.") for other in keys), key
    module, trainer = steps[-1]["module"], steps[-1]["trainer"]
    assert len(steps) == 4 and trainer.global_step == 4  # two batches in each of two steps
    assert (module.recipe.ema.decay, module.recipe.ema.decay_at(2)) == (0.25, 0.25)
    assert type(module.recipe.time_sampler).__name__ == "Stratified"
    assert trainer.gradient_clip_val == 0.125 and trainer.precision == "bf16-mixed"
    assert steps[-1]["seed"] == 7 and trainer.datamodule.seed == 7 and trainer.datamodule.flip
    assert len(trainer.datamodule.train) == 7
    diffusion = module.diffusion
    parts = (diffusion.schedule, diffusion.parameterization, diffusion.objective)
    assert [type(part).__name__ for part in parts] == ["Cosine", "Velocity", "MinSNR"]
    assert {m.p for m in module.modules() if hasattr(m, "p")} == {0.5}
    assert type(zoo.load(path).diffusion.parameterization).__name__ == "Velocity"


def test_averages_and_clipping_may_begin_and_end_on_the_way(
    run: Path, composed: Callable[..., Any], steps: list[dict[str, Any]]
) -> None:
    off = {"recipe.ema": None, "trainer.gradient_clip_algorithm": "value", "allow_changes": True}
    path = train(composed(run, {**off, "trainer.max_steps": 3}))
    assert checkpoint.provenance(path)["weights"] == "raw"
    assert steps[-1]["trainer"].gradient_clip_algorithm == "value"
    path = train(composed(run, {"trainer.max_steps": 4, "allow_changes": True}))
    assert checkpoint.provenance(path)["weights"] == "ema"
    assert steps[-1]["module"].recipe.ema.num_updates == 1
    changes = torch.load(run / "last.ckpt", weights_only=True)["run"]["changes"]
    assert [(change["step"], change["key"]) for change in changes] == [
        (2, "recipe.ema"),
        (2, "trainer.gradient_clip_algorithm"),
        (3, "recipe.ema"),
        (3, "trainer.gradient_clip_algorithm"),
    ]


def test_steps_that_are_half_accumulated_by_another_number_are_refused(
    run: Path, composed: Callable[..., Any]
) -> None:
    change = {"trainer.accumulate_grad_batches": 3, "allow_changes": True}
    with pytest.raises(ValueError, match="2 batches after the beginning, which is no multiple"):
        train(composed(run, change))


def test_a_state_of_another_program_is_refused(run: Path, composed: Callable[..., Any]) -> None:
    state = torch.load(run / "last.ckpt", weights_only=True)
    del state["run"]
    torch.save(state, run / "last.ckpt")
    before = content(run)
    with pytest.raises(ValueError, match="it lacks 'run', so it is no state that this version"):
        train(composed(run, {}))
    torch.save({"weights": torch.zeros(2)}, run / "last.ckpt")
    with pytest.raises(ValueError, match="is no training state: it lacks global_step"):
        train(composed(run, {}))
    (run / "last.ckpt").write_bytes(before["last.ckpt"][:-100])
    with pytest.raises(ValueError, match="is no training state, or it is torn"):
        train(composed(run, {}))
