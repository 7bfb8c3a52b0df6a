"""Runs that are trained already, side by side: through the real command line, in a folder."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from eval.result.record import Result
from eval.study import comparison, evaluation, loading, rows, saved
from zoo import checkpoint, cli
from zoo.checkpoint.published import checkpoint_file
from zoo.entry import compose
from zoo.models.small_extractor import SmallExtractor
from zoo.system.picture import save_png

TINY = [
    "experiment=digits", "trainer=cpu", "trainer.max_steps=2", "trainer.precision=32-true",
    "trainer.limit_val_batches=0", "data.batch_size=4", "~callbacks.sample_grid",
    "sampler.num_steps=2", "model.denoiser.channels=32", "model.denoiser.channel_mult=[1]",
    "model.denoiser.attention_at=[]",
]  # fmt: skip
MEASURED = [
    "num_images=20", "fid_counts=[20]", "metric=[fid,nearest]", "extractor=[small]",
    "extractor.small.path=extractor.safetensors", "device=cpu",
]  # fmt: skip
FID = "fid_small_20"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a multirun of two schedules and two seeds, and other runs' remains."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        checkpoint.save(SmallExtractor((1, 16, 16), 10), "extractor.safetensors")
        axes = ["model=ddpm", "schedule=linear,cosine", "seed=0,1"]
        cli.main(["train", "-m", *axes, "run_dir=runs/m", *TINY])
    runs = folder / "runs"
    shutil.copytree(runs / "m" / "0", runs / "m" / "0.1")  # as if it had been trained again
    (runs / "m" / "4").mkdir()
    (runs / "m" / "4" / "last.ckpt").touch()
    (runs / "empty").mkdir()
    _write(runs / "longer", runs / "m" / "0", budget={"images_seen": 80})
    _write(runs / "elsewhere", runs / "m" / "0", budget={"data_fingerprint": "ab" * 32})
    _write(runs / "published", runs / "m" / "0", facts={"source": "somewhere"})
    (runs / "published" / "config.yaml").unlink()
    _write(runs / "copy" / "0", runs / "m" / "0", budget={"precision": "32-true"})
    return folder


@pytest.fixture
def project(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def _write(
    folder: Path, source: Path, facts: dict[str, Any] | None = None, **changes: dict[str, Any]
) -> None:
    """A run like another, with other provenance."""
    shutil.copytree(source, folder)
    model = checkpoint.load(source / "model.safetensors")
    recorded = checkpoint.provenance(source / "model.safetensors") if facts is None else facts
    for key, values in changes.items():
        recorded[key] = {**recorded[key], **values}
    checkpoint.save(model, folder / "model.safetensors", recorded)


def _table(file: str) -> list[dict[str, str]]:
    with open(file, encoding="utf-8") as text:
        return list(csv.DictReader(text))


def _line(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of an error."""
    with pytest.raises(SystemExit) as left:
        cli.main([*arguments])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_multirun_is_a_table_of_methods(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["compare", "models=runs/m/*", "run_dir=table", *MEASURED])
    assert "left out runs/m/0.1, runs/m/4: no finished run" in capsys.readouterr().out
    table = _table("table/results.csv")
    assert [row["model"] for row in table] == ["ddpm schedule=linear", "ddpm schedule=cosine"]
    for row, runs in zip(table, ((0, 1), (2, 3)), strict=True):
        folder = Path("table") / row["model"].replace(" ", "-")
        whole = Result.load(folder / "result.json")
        each = [Result.load(folder / f"seed-{seed}" / "result.json") for seed in (0, 1)]
        assert whole.budget.seed == [0, 1]
        assert whole.values[FID].trainings == [one.values[FID].value for one in each]
        assert float(row[FID]) == whole.values[FID].value
        assert [one.subject.weights_sha256 for one in each] == [
            checkpoint.sha256(f"runs/m/{run}/model.safetensors") for run in runs
        ]
    assert [(line["model"], line["seed"]) for line in _table("table/trainings.csv")] == [
        (row["model"], seed) for row in table for seed in "01"
    ]
    text = Path("table/results.md").read_text()
    assert "Two diffusion models on digits, one budget, two trainings each" in text
    assert "Welch" in text and "'models=[runs/m/*]'" in text
    html = Path("table/report.html").read_text()
    assert html.count("data:image/png") == 3 + 2 and "ddpm schedule=cosine" in html
    assert Path("table/comparison.png").is_file()


def test_rows_have_the_names_that_they_are_given(project: Path) -> None:
    named = ["models.linear=runs/m/0", "models.cosine=runs/m/2/model.safetensors"]
    cli.main(["compare", *named, "run_dir=named", "sampler.num_steps=1", *MEASURED])
    assert [row["model"] for row in _table("named/results.csv")] == ["linear", "cosine"]
    result = Result.load("named/cosine/result.json")
    assert result.subject.num_steps == 1
    assert result.protocol.num_generated == 20 and result.values[FID].interval
    quoted = "models={linear: runs/m/0, cosine: [runs/m/2, runs/m/3]}"
    cli.main(["compare", quoted, "run_dir=dict", "force=true", *MEASURED])
    text = Path("dict/results.md").read_text()
    assert "budget.seed is [0, 1] for cosine but 0 for linear" in text
    assert "# Two diffusion models on digits\n" in text  # not "one budget"


def test_other_budgets_are_refused_at_once_and_forced_with_their_difference(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["compare", "models=runs/m/0,runs/longer", "run_dir=forced", *MEASURED]
    with monkeypatch.context() as patch:
        patch.setattr(comparison.loading, "dataset", _slow)
        line = _line(capsys, *asked)
    first, second = "ddpm images_seen=8", "ddpm images_seen=80"
    assert f"budget.images_seen is 80 for {second} but 8 for {first}" in line
    assert "force=true" in line
    cli.main([*asked, "force=true"])
    table = _table("forced/results.csv")
    assert [row["model"] for row in table] == [first, second]
    assert [row["images_seen"] for row in table] == ["8", "80"]
    assert "images_seen is 80" in table[1]["differs_in"]


def test_a_row_without_provenance_is_marked(project: Path) -> None:
    cli.main(["compare", "models=runs/m/0,runs/published", "run_dir=published", *MEASURED])
    text = Path("published/results.md").read_text()
    assert text.count("training not recorded") == 1
    assert "nothing is recorded of the training of published" in text
    assert "one budget" not in text.splitlines()[0]
    assert "- images_seen: 8\n" in text


def test_several_checkpoints_are_evaluated_into_a_folder_each(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["evaluate", "checkpoint=runs/m/0,runs/m/2,runs/longer", *MEASURED])
    folder = Path("runs/evaluate-digits")
    for name in ("m-0", "m-2", "longer"):
        assert Result.load(folder / name / "result.json").subject.name == name
        assert (folder / name / "samples.png").is_file()
    assert [row["model"] for row in _table(str(folder / "results.csv"))] == ["m-0", "m-2", "longer"]
    printed = capsys.readouterr().out
    assert "| model (EMA) |" in printed and "| m-2 |" in printed
    assert "budget.images_seen is 80 for longer but 8 for m-0" in printed
    cli.main(["evaluate", "checkpoint=runs/m/0", *MEASURED])
    assert Path("runs/evaluate-digits-m-0/result.json").is_file()
    cli.main(["evaluate", "checkpoint={a: runs/m/0, b: runs/m/2}", "run_dir=ab", *MEASURED])
    assert [row["model"] for row in _table("ab/results.csv")] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models=ddpm,ddmp"], "models: no model called 'ddmp', and no such file; there are "),
        (["models=ddpm,_parts"], "no model called '_parts'"),
        (["models=ddpm,runs/m/0"], "runs/m/0 is a file, ddpm is to be trained"),
        (["models=runs/m/0,runs/empty"], "runs/empty has no model.safetensors: it is not"),
        (["models=runs/m/4"], "its training has not finished"),
        (["models=runs/absent"], "there is no checkpoint runs/absent"),
        (["models=runs/x*"], r"models=runs/x\*: nothing matches"),
        (["models=runs/emp*"], "none of runs/empty is a finished run"),
        (["models=runs/m/0,runs/m/0/model.safetensors"], "m/0/model.safetensors is named twice"),
        (["models=runs/m/0,runs/m/0"], "names runs/m/0 twice"),
        (["models=runs/elsewhere"], "was trained on other images of that name.*force=true"),
        (["models=runs/m/0", "data=cifar10"], "digits, images of 1x16x16.*choose data=digits"),
        (["models=digits/autoencoder"], "holds a Autoencoder, which generates no images"),
        (["models=runs/m/0", "seed=1"], "protocol.seed=... is that of the images"),
        (["models=runs/m/0", "train_seeds=0,1"], r"train_seeds=\[0,1\] changes a training"),
        (["models=runs/m/0", "recipe.optimizer.lr=0.1"], "lr=0.1 changes a training"),
        (["models.a=runs/m/0,runs/m/2"], "several methods.*schedule=linear or cosine"),
        (["models.a=runs/m/0,runs/copy/0"], r"have a seed each, got \[0, 0\]"),
        (["models={a: runs/m/0,"], "a shell takes braces apart: say models.NAME=FILE"),
        (["models=a:runs/m/0", "models=b:runs/m/2"], "is given twice; a shell takes braces"),
        (["models=a:runs/m/0"], "a row's name goes models.NAME=FILE"),
        (["models.a=runs/m/0", "models.a=runs/m/2"], "models.a is given twice"),
        (["models.a=runs/m/0", "models=[ddpm]"], "give one or the other"),
        (["models.a.schedule=linear"], "models.a says no model: add models.a.model=ddpm"),
        (["models.a.model=ddpm", "models.a.run_dir=x"], "run_dir belongs to the whole"),
        (["models={a b: runs/m/0, a-b: runs/m/2}"], "two rows have the folder 'a-b'"),
        (["models={../a: runs/m/0}"], "a row cannot be called '../a'"),
        (["models=[]"], "leaves nothing to compare"),
        (["models=[1.5]"], "is the name of a model, a file, a run's folder"),
        (["models=[{model: ddpm}]"], "is a row that needs a name"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_measured(
    project: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison.loading, "extractors", _slow)
    line = _line(capsys, "compare", *arguments, *MEASURED)
    assert re.search(message, line), line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "checkpoint=runs/m/0,runs/m/2", "name=x"], "name=x: .* several models"),
        (["evaluate", "checkpoint=runs/m/0,runs/empty"], "runs/empty has no model.safetensors"),
        (["evaluate", "checkpoint=runs/m/0", "data=cifar10"], "choose data=digits"),
        (["evaluate", "checkpoint=runs/x*"], "nothing matches"),
        (["sweep", "checkpoint=runs/m/0,runs/empty"], "runs/empty has no model.safetensors"),
        (["sweep", "checkpoint=[runs/m/0]", "sampler.num_steps=1,2"], "is one file here"),
        (["rosetta", "checkpoint=runs/m/*"], "is one file here"),
        (["sweep", "checkpoint=runs/m/0", "data=cifar10", "sampler.num_steps=1,2"], "=digits"),
    ],
)
def test_other_verbs_refuse_files_as_early(
    project: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation.loading, "reference_set", _slow)
    line = _line(capsys, *arguments, "device=cpu")
    assert re.search(message, line), line


def test_runs_of_one_configuration_and_seed_are_rows_of_their_runs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = rows.entries(["runs/m/0", "runs/copy/0", "runs/m/2"])
    found = saved.rows(entries)
    linear = "ddpm schedule=linear"
    assert list(found) == [f"{linear} (m-0)", f"{linear} (copy-0)", "ddpm schedule=cosine"]
    assert "one configuration, some of one seed too" in capsys.readouterr().out
    assert list(saved.rows(rows.entries(["runs/m/0", "runs/copy/0"]))) == ["m-0", "copy-0"]


def test_a_recipe_that_no_budget_records_is_a_difference(project: Path, tmp_path: Path) -> None:
    settings = checkpoint.provenance("runs/m/1/model.safetensors")["settings"]
    settings["recipe"]["optimizer"]["weight_decay"] = 0.5
    _write(tmp_path / "decayed", Path("runs/m/1"), settings=settings)
    found = saved.rows(rows.entries(["runs/m/0", str(tmp_path / "decayed")]))
    assert list(found) == ["ddpm weight_decay=0", "ddpm weight_decay=0.5"]


def test_a_recipe_that_changed_on_the_way_is_a_difference_of_recipe_and_budget(
    project: Path, tmp_path: Path
) -> None:
    source, folder = Path("runs/m/1"), tmp_path / "changed"
    facts = checkpoint.provenance(source / "model.safetensors")
    facts["changes"] = [{"step": 1, "key": "recipe.optimizer.lr", "old": 0.1, "new": 2e-4}]
    facts["budget"]["changes"] = "recipe.optimizer.lr 0.1 -> 0.0002 at step 1"
    _write(folder, source, facts)
    found = saved.rows(rows.entries(["runs/m/0", str(folder)]))
    assert len(found) == 2
    fields = [mismatch.field for mismatch in saved.differences(found)]
    assert fields == ["budget.seed", "budget.changes"]


def test_a_latent_models_seeds_are_pooled_with_an_autoencoder_each(tmp_path: Path) -> None:
    cfg = compose("train", ["experiment=digits", "model=latent_diffusion"])
    for seed in (0, 1):
        first = checkpoint.load(checkpoint_file("digits/autoencoder")).first_stage
        model = instantiate(cfg.model, first_stage=first, _convert_="all")
        facts = {"budget": {"seed": seed, "images_seen": 8}, "autoencoder": {"sha256": str(seed)}}
        folder = tmp_path / str(seed)
        checkpoint.save(model, folder / "model.safetensors", facts)
        OmegaConf.save(compose("train", [f"seed={seed}"]), folder / "config.yaml", resolve=True)
    (found,) = saved.rows(rows.entries([f"{tmp_path}/*"])).items()
    assert (found[0], len(found[1])) == ("latent_diffusion", 2)


def test_stored_images_are_not_their_own_reference(
    project: Path, write_images: Callable[[str, range], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, part in (("A", range(20)), ("B", range(20, 40)), ("one", range(1))):
        write_images(name, part)
    asked = ["evaluate", *MEASURED[1:]]
    assert "are the very images" in _line(capsys, *asked, "images=A", "reference=A")
    same = _line(capsys, *asked, "images=A", "reference=B", "held_out=B")
    assert "reference and held-out images are the same" in same
    assert "images=one holds 1 image; at least 2" in _line(capsys, *asked, "images=one")
    cli.main([*asked, "images=A", "reference=B", "held_out=A"])
    assert "the floor is their own score" in capsys.readouterr().out


@pytest.fixture
def write_images(project: Path) -> Callable[[str, range], None]:
    """Writes some digits into a folder."""
    images = loading.dataset(compose("evaluate")).test

    def write(name: str, part: range) -> None:
        for index, image in zip(part, images.gather(part), strict=True):
            save_png(image, project / name / f"{index}.png")

    return write


def _slow(*arguments: object, **named: object) -> None:
    raise AssertionError("something slow began before the mistake was seen")


def test_models_with_and_without_a_condition_are_refused_before_they_are_measured(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model = project / "runs" / "unlabelled", project / "runs" / "m" / "0"
    if not folder.exists():
        shutil.copytree(model, folder)
        plain = instantiate(
            compose("train", [*TINY, "model=ddpm", "conditioner=unconditional"]).model,
            _convert_="all",
        )
        facts = checkpoint.provenance(model / "model.safetensors")
        checkpoint.save(plain, folder / "model.safetensors", facts)
    monkeypatch.setattr(comparison.loading, "dataset", _slow)
    line = _line(capsys, "compare", "models=runs/m/0,runs/unlabelled", *MEASURED)
    assert "protocol.labels is 'unconditional' for" in line
    assert "but 'conditional' for" in line
