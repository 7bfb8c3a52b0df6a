from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from eval.result.record import Result
from eval.study import loading, trainings
from eval.study.comparison import Experiment
from eval.study.recipe import config_mismatches, model_mismatches, recipe_of
from eval.study.trainings import Trainings, quoted, seeds_of
from zoo import checkpoint, paths
from zoo.entry import compose
from zoo.models.small_extractor import SmallExtractor
from zoo.training.run.settings import shaping

TINY = [
    "experiment=digits", "trainer=cpu", "trainer.max_steps=1", "trainer.precision=32-true",
    "trainer.limit_val_batches=0", "trainer.log_every_n_steps=1", "data.batch_size=4",
    "protocol.num_images=20", "protocol.fid_counts=[20]", "metric=[fid,nearest]",
    "~callbacks.sample_grid", "sampler.num_steps=1", "extractor=small",
]  # fmt: skip
FID = "fid_small_20"


def given(folder: Path, *overrides: str) -> list[str]:
    return [*TINY, f"run_dir={quoted(folder / 'run')}", *overrides]


def made(folder: Path, *overrides: str) -> Trainings:
    asked = given(folder, *overrides)
    return Trainings(compose("compare", asked), asked, "digits")


def experiment(folder: Path, *overrides: str) -> Experiment:
    extractor = folder / "extractor.safetensors"
    if not extractor.exists():
        checkpoint.save(SmallExtractor((1, 16, 16), 10), extractor)
    asked = given(folder, f"extractor.small.path={quoted(extractor)}", *overrides)
    choices = {"experiment": "digits", "data": "digits", "trainer": "cpu"}
    return Experiment(compose("compare", asked), asked, choices)


SEEDS = ("train_seeds=[0,1]", "models=[ddpm,latent_diffusion]")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    experiment(folder, *SEEDS).run()
    return folder


@pytest.fixture(scope="module")
def data() -> Any:
    return loading.dataset(compose("compare", TINY))


def test_each_method_is_trained_once_per_seed_and_is_one_row(finished: Path) -> None:
    run = finished / "run"
    with (run / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["ddpm", "latent_diffusion"]
    for row in rows:
        whole = Result.load(run / row["model"] / "result.json")
        each = [Result.load(run / row["model"] / f"seed-{s}" / "result.json") for s in (0, 1)]
        assert [one.budget.seed for one in each] == [0, 1]
        assert [one.subject.name for one in each] == [f"{row['model']}, seed {s}" for s in (0, 1)]
        assert whole.budget.seed == [0, 1]
        numbers = [one.values[FID].value for one in each]
        assert whole.values[FID].trainings == numbers and numbers[0] != numbers[1]
        assert float(row[FID]) == whole.values[FID].value == pytest.approx(sum(numbers) / 2)
    stages = [one["first_stage"]["sha256"] for one in whole.provenance["trainings"]]
    assert stages == [
        checkpoint.sha256(run / "autoencoder" / f"seed-{seed}" / "model.safetensors")
        for seed in (0, 1)
    ]
    with (run / "trainings.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["model"], line["seed"]) for line in lines] == [
        (model, seed) for model in ("ddpm", "latent_diffusion") for seed in "01"
    ]
    assert [float(line[FID]) for line in lines[2:]] == whole.values[FID].trainings
    text = (run / "results.md").read_text()
    assert "Two diffusion models on digits, one budget, two trainings each" in text
    assert "as methods, ddpm and latent_diffusion are not" in text or "as a method, " in text
    assert "weights of" not in text
    assert "seed: 0, 1" in text


def test_what_was_trained_is_not_trained_again(
    finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A run that was killed after some trainings makes the missing ones, and only those."""
    run, trained = finished / "run", []
    before = json.loads((run / "ddpm" / "result.json").read_text())["values"]
    lost = run / "ddpm" / "seed-1" / "model.safetensors"
    kept = lost.rename(tmp_path / "kept.safetensors")
    (run / "latent_diffusion" / "seed-0" / "last.ckpt").write_bytes(b"of a run that was killed")
    real = trainings.train
    monkeypatch.setattr(trainings, "train", lambda cfg: trained.append(cfg.run_dir) or real(cfg))
    experiment(finished, *SEEDS).run()
    assert trained == [str(lost.parent)]
    assert checkpoint.sha256(lost) != checkpoint.sha256(kept)  # the time of making is in it
    after = json.loads((run / "ddpm" / "result.json").read_text())["values"]
    assert after[FID] == before[FID]


def test_a_training_of_the_same_budget_and_seed_is_used_again(
    finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Any
) -> None:
    monkeypatch.setattr(paths, "checkpoints", lambda: tmp_path)  # nothing ships

    several, run = made(finished, "train_seeds=[0,1,2]"), finished / "run"

    def found(asked: Trainings, seed: int, model: str = "ddpm") -> Path | None:
        return asked.existing(model, asked.config(model, seed), data)

    assert found(several, 0) == run / "ddpm" / "seed-0" / "model.safetensors"
    assert found(several, 1) == run / "ddpm" / "seed-1" / "model.safetensors"
    assert found(made(finished, "seed=1"), 1) == run / "ddpm" / "seed-1" / "model.safetensors"
    assert found(several, 2) is None
    cfg = several.config("ddpm", 0)
    for key, value in {
        "trainer.max_steps": 2, "data.batch_size": 2, "recipe.optimizer.lr": 0.5,
        "trainer.gradient_clip_val": 0.5, "recipe.ema.decay": 0.5, "recipe.ema": None,
        "recipe.optimizer.weight_decay": 0.5, "data.condition": "caption",
        "recipe.optimizer._target_": "torch.optim.Adam", "model.denoiser.channels": 40,
    }.items():  # fmt: skip
        other = cfg.copy()
        OmegaConf.update(other, key, value)
        assert several.existing("ddpm", other, data) is None, key

    assert found(several, 0, "latent_diffusion") and found(several, 1, "latent_diffusion")
    file = quoted(run / "autoencoder" / "seed-1" / "model.safetensors")
    shared = made(finished, "train_seeds=[0,1]", f"autoencoder={file}")
    assert found(shared, 1, "latent_diffusion") is not None
    assert found(shared, 0, "latent_diffusion") is None  # it has another
    assert found(shared, 0) is not None  # a pixel model has none


def test_a_shipped_checkpoint_is_refused_alone_and_skipped_among_several(
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    data: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shipped = tmp_path / "checkpoints" / "digits" / "ddpm.safetensors"
    shipped.parent.mkdir(parents=True)
    shipped.write_bytes((finished / "run/ddpm/seed-0/model.safetensors").read_bytes())
    monkeypatch.setattr(paths, "checkpoints", lambda: tmp_path / "checkpoints")

    alone, several = made(tmp_path), made(tmp_path, "train_seeds=[0,1]")
    cfg = alone.config("ddpm")
    assert alone.existing("ddpm", cfg, data) == shipped
    for key, value, message in (
        ("trainer.max_steps", 3, "images_seen is 4, not 12"),
        ("trainer.precision", "bf16-mixed", "precision is 32-true, not bf16-mixed"),
        ("trainer.gradient_clip_val", None, "gradient_clip is 1.0, not None"),
        ("recipe.ema.decay", 0.5, "ema is decay 0.999, not decay 0.5"),
    ):
        other = cfg.copy()
        OmegaConf.update(other, key, value)
        with pytest.raises(ValueError, match=f"{message}(; .*)?; retrain=true trains again"):
            alone.existing("ddpm", other, data)
    OmegaConf.update(cfg, "trainer.precision", "auto")
    assert alone.existing("ddpm", cfg, data) == shipped  # whatever suited the machine then

    assert several.existing("ddpm", several.config("ddpm", 1), data) is None
    first = several.config("ddpm", 0)
    assert several.existing("ddpm", first, data) == shipped
    capsys.readouterr()
    monkeypatch.setattr(trainings, "device_name", lambda device: "another machine")
    assert several.existing("ddpm", first, data) is None
    assert "is skipped: device is " in capsys.readouterr().out
    assert alone.existing("ddpm", cfg, data) == shipped


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train_seeds=[]"], "are whole numbers from 0, such as 0,1,2; got nothing"),
        (["train_seeds=[0,a]"], "expected a list of whole numbers from 0"),
        (["train_seeds=[0,-1]"], "expected a list of whole numbers from 0"),
        (["train_seeds=1.5"], "expected a list of whole numbers from 0"),
        (["train_seeds=[1,0,1]"], "names 1 twice"),
        (
            ["train_seeds=[0,1]", "seed=3"],
            r"seed=3 and train_seeds=\[0, 1\]: give only one of them",
        ),
        (["autoencoder=absent.safetensors"], "autoencoder=absent.safetensors: there is no such"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        made(tmp_path, *overrides)
    assert "\n" not in str(refused.value)


def test_seeds_reach_the_trainings(tmp_path: Path) -> None:
    several = made(tmp_path, "train_seeds=[3,5]")
    cfg = several.config("ddpm", 5)
    assert (cfg.seed, cfg.data.seed) == (5, 5)
    assert Path(cfg.run_dir) == tmp_path / "run" / "ddpm" / "seed-5"
    alone = made(tmp_path, "seed=4")
    assert alone.config("ddpm").seed == 4 and alone.seeds == [4]
    assert Path(alone.config("ddpm").run_dir) == tmp_path / "run" / "ddpm"
    assert seeds_of(3) == [3] and seeds_of(None) is None


def test_a_path_survives_the_override_grammar(tmp_path: Path) -> None:
    odd = tmp_path / "it's a=b, {c}"
    assert compose("train", [f"run_dir={quoted(odd)}"]).run_dir == str(odd)


def test_what_is_sampled_by_may_differ_but_nothing_else(tmp_path: Path) -> None:
    asked = {"sampler": {"num_steps": 5}, "denoiser": {"channels": 8, "mult": [1, 2]}}
    saved: dict[str, Any] = {
        "sampler": {"num_steps": 9},
        "denoiser": {"channels": 8, "mult": [1, 2], "eps": 0.1},
    }
    assert model_mismatches(asked, saved) == []
    saved["denoiser"]["mult"] = [1, 3]
    assert model_mismatches(asked, saved) == ["model.denoiser.mult is [1, 3], not [1, 2]"]

    def config(*overrides: str) -> Any:
        return OmegaConf.to_container(compose("train", list(overrides)), resolve=True)

    cfg, file = config("sampler.num_steps=5"), tmp_path / "model.safetensors"
    assert recipe_of(file, {}) is None and config_mismatches(cfg, None) == []  # nothing is known
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config("run_dir=elsewhere")))
    assert config_mismatches(cfg, recipe_of(file, {})) == []
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config("recipe.ema.warmup=false")))
    known = recipe_of(file, {})
    assert config_mismatches(cfg, known) == ["recipe.ema.warmup is False, not True"]
    facts = {"settings": shaping(cfg), "steps": cfg["trainer"]["max_steps"]}
    assert config_mismatches(cfg, recipe_of(file, facts)) == []  # before what lies beside it
    assert config_mismatches(cfg, recipe_of(file, {**facts, "steps": 3}))
    change = {"step": 5, "key": "recipe.optimizer.lr", "old": 1e-3, "new": 2e-4}
    changed = recipe_of(file, {**facts, "changes": [change]})
    (text,) = config_mismatches(cfg, changed)
    assert text.startswith("changes is [{'step': 5, 'key': 'recipe.optimizer.lr'")


def test_another_schedule_or_objective_is_another_model() -> None:
    def config(schedule: str, **more: object) -> dict[str, object]:
        diffusion = {"_target_": "Gaussian", "schedule": {"_target_": schedule}}
        return {"_target_": "zoo.DDPM", "diffusion": {**diffusion, **more}}

    assert model_mismatches(config("Linear"), {**config("Linear"), "_target_": "zoo.Other"}) == []
    found = model_mismatches(config("Cosine"), config("Linear"))
    assert found == ["model.diffusion.schedule._target_ is Linear, not Cosine"]


@pytest.mark.parametrize(
    "model", ["ddpm", "improved_ddpm", "latent_diffusion", "guided_latent_diffusion"]
)
def test_the_weights_that_ship_are_those_of_the_experiment_of_digits(
    model: str, tmp_path: Path
) -> None:
    overrides = ["experiment=digits", f"run_dir={tmp_path}"]
    study = Trainings(compose("compare", overrides), overrides, "digits")
    cfg = study.config(model)
    data = loading.dataset(cfg)
    shipped = paths.checkpoints() / "digits" / f"{model}.safetensors"
    assert study.existing(model, cfg, data) == shipped
