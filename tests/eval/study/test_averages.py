"""Several averages of one training, measured: through the real command line, in a folder."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from eval.result.record import Result
from zoo import checkpoint, cli
from zoo.models.small_extractor import SmallExtractor

TRAINING = [
    "experiment=digits", "model=ddpm", "trainer=cpu", "trainer.max_steps=4", "data.batch_size=4",
    "trainer.precision=32-true", "trainer.limit_val_batches=0", "~callbacks.sample_grid",
    "sampler.num_steps=2", "model.denoiser.channels=32", "model.denoiser.channel_mult=[1]",
    "model.denoiser.attention_at=[]", "recipe.ema.decay=[0.9,0.1]", "recipe.ema.warmup=false",
    "recipe.ema.sigma_rel=[0.05,0.2]", "callbacks.average_snapshots.every_n_steps=1",
]  # fmt: skip
MEASURED = [
    "num_images=20", "fid_counts=[20]", "metric=[fid]", "extractor=[small]", "cache=false",
    "extractor.small.path=extractor.safetensors", "device=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training of four averages, and a fifth, rebuilt."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ZOO_RUN_DIR", "")
        checkpoint.save(SmallExtractor((1, 16, 16), 10), "extractor.safetensors")
        cli.main(["train", *TRAINING, "run_dir=runs/a"])
        cli.main(["ema", "run=runs/a", "sigma_rel=0.15"])
    return folder


@pytest.fixture
def project(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    monkeypatch.setenv("ZOO_RUN_DIR", "")
    return trained


@pytest.mark.parametrize(
    ("ema", "file", "weights"),
    [
        ("null", "model.safetensors", "EMA"),
        ("0.9", "model.safetensors", "EMA"),
        ("0.10", "model-ema-0.1.safetensors", "EMA, decay 0.1"),
        ("0.05", "model-ema-0.05.safetensors", "EMA, sigma_rel 0.05"),
        ("0.15", "model-ema-0.15.safetensors", "EMA, sigma_rel 0.15"),
    ],
)
def test_an_evaluation_takes_the_average_of_that_number(
    project: Path, ema: str, file: str, weights: str
) -> None:
    cli.main(["evaluate", "checkpoint=runs/a", f"ema={ema}", f"run_dir=out/{ema}", *MEASURED])
    result = Result.load(project / "out" / ema / "result.json")
    assert result.subject.weights_sha256 == checkpoint.sha256(project / "runs" / "a" / file)
    assert result.subject.weights == weights
    assert result.subject.name == ("a" if file == "model.safetensors" else f"a-{file[6:-12]}")


def test_a_decay_of_the_number_of_a_length_is_not_replaced(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project / "runs/a/model-ema-0.1.safetensors").read_bytes()
    with pytest.raises(SystemExit):
        cli.main(["ema", "run=runs/a", "sigma_rel=0.1"])
    assert "model-ema-0.1.safetensors is called so, a fixed decay" in capsys.readouterr().err
    assert (project / "runs/a/model-ema-0.1.safetensors").read_bytes() == before


def test_averages_of_one_training_stand_side_by_side(project: Path) -> None:
    data = ["data=digits", "run_dir=out/compare", *MEASURED]
    cli.main(["compare", "models=runs/a/*.safetensors", *data])
    table = (project / "out" / "compare" / "results.md").read_text()
    for number in ("0.9", "0.1", "0.05", "0.2", "0.15"):
        assert f"ddpm ema={number}" in table
    assert "averages of several lengths are mixed" in table
    assert "averaged and raw weights" not in table


def test_a_sweep_over_lengths_is_one_command(project: Path) -> None:
    cli.main(["sweep", "checkpoint=runs/a", "ema=0.05,0.15,0.9", "run_dir=out/sweep", *MEASURED])
    with (project / "out" / "sweep" / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ema"] for row in rows] == ["0.05", "0.15", "0.9"]
    assert len({row["fid_small_20"] for row in rows}) == 3


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        (["evaluate", "checkpoint=runs/a", "ema=0.15,0.2", *MEASURED], "ema=0.15,0.2: for a run"),
        (["evaluate", "checkpoint=runs/a", "ema=0.3", *MEASURED], "zoo ema run=runs/a sigma_rel="),
        (["sample", "checkpoint=runs/a", "ema=0.3"], "zoo ema run=runs/a sigma_rel="),
        (["sample", "checkpoint=runs/a", "ema=1.5"], "of at least 0 and below 1"),
        (["evaluate", "images=x.npz", "ema=0.3", *MEASURED], "x.npz: no such file"),
        (["ema", "run=runs/none"], "runs/none: no such file"),
        (["ema", "run=runs/a", "sigma_rel=long"], "sigma_rel=[long]: expected"),
        (["ema", "run=runs/a", "sigma_rel=0"], "sigma_rel=[0]: expected"),
        (["ema", "run=runs/a", "sigma_rel=0.29"], "sigma_rel is above 0 and at most 0.2886"),
        (["train", "recipe.ema.sigma_rel=[0.05,0.5]"], "sigma_rel is above 0 and at most 0.2886"),
        (["train", "recipe.ema.decay=[0.9,1.5]"], "recipe.ema.decay"),
        (["train", "recipe.ema.main=0.5"], "main=0.5 is none of the averages 0.9999"),
        (["train", "callbacks.average_snapshots.dtype=int8"], "float16 or float32"),
    ],
)
def test_a_mistake_is_one_line(
    project: Path, verb: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(SystemExit) as left:
        cli.main(verb)
    said = capsys.readouterr().err.strip()
    assert left.value.code == 2
    assert message in said
    assert "\n" not in said.split("loading torch and lightning")[-1].strip(" .\n")
    assert sorted(project.rglob("*")) == before
