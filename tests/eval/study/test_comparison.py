from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hydra.utils import instantiate

from eval.result.record import Result
from eval.study import evaluation
from eval.study import protocol as protocols
from eval.study.comparison import Experiment
from eval.study.recipe import one_model
from zoo import checkpoint, paths
from zoo.entry import compose
from zoo.models.small_extractor import SmallExtractor

EXPERIMENTS = sorted(
    file.stem
    for file in (paths.configs() / "experiment").glob("*.yaml")
    if one_model(file.stem) is None
)
MODELS = ("ddpm", "improved_ddpm", "latent_diffusion", "guided_latent_diffusion")

TINY = [
    "experiment=digits", "trainer=cpu", "trainer.max_steps=2", "trainer.precision=32-true",
    "trainer.limit_val_batches=0", "trainer.log_every_n_steps=1", "data.batch_size=4",
    "protocol.num_images=12",
    "protocol.fid_counts=[4,12]", "~callbacks.sample_grid", "sampler.num_steps=2",
    "extractor=small", "metric=[fid,clip_score,kid,precision_recall,nearest,bits_per_dim]",
    "metric.bits_per_dim.num_images=3", "metric.bits_per_dim.num_steps=4",
]  # fmt: skip


def _experiment(folder, *overrides, models="[ddpm,latent_diffusion]"):
    given = [*TINY, *overrides]
    extractor = folder / "extractor.safetensors"
    if not extractor.exists():
        checkpoint.save(SmallExtractor((1, 16, 16), 10), extractor)
    own = [f"models={models}", f"run_dir={folder}/run", f"extractor.small.path={extractor}"]
    choices = {"experiment": "digits", "data": "digits", "trainer": "cpu"}
    return Experiment(compose("compare", [*given, *own]), [*given, *own], choices)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    _experiment(folder, "retrain=true").run()
    return folder


def test_a_comparison_trains_measures_and_reports(finished):
    run = finished / "run"
    assert {"results.csv", "results.md", "report.html", "comparison.png"} <= {
        file.name for file in run.iterdir()
    }
    with (run / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["ddpm", "latent_diffusion"]
    first, latent = (Result.load(run / row["model"] / "result.json") for row in rows)
    assert first.budget == latent.budget
    assert first.budget.images_seen == 8
    assert latent.subject.first_stage.sha256 == checkpoint.sha256(
        run / "autoencoder" / "model.safetensors"
    )
    assert latent.subject.first_stage.images_seen == 8
    assert int(rows[1]["images_seen"]) == 16
    assert first.subject.weights == "EMA"
    assert first.subject.network_evaluations == 2
    assert first.values["fid_small_4"].num_sets == 3
    assert first.values["fid_small_4"].floor_images == 4
    assert first.values["bits_per_dim"].num_images == 3
    assert first.values["bits_per_dim"].standard_error > 0
    assert "bits_per_dim" not in latent.values and "latent" in latent.absent["bits_per_dim"]
    bits = "BitsPerDim, num_images 3, num_steps 4"
    assert first.protocol.metrics["bits_per_dim"] == bits
    assert "over 4 steps" in first.values["bits_per_dim"].definition
    assert float(rows[0]["bits_per_dim_standard_error"]) > 0 and not rows[1]["bits_per_dim"]
    assert [step for step, _ in first.provenance["history"]]
    html = (run / "report.html").read_text()
    assert "Two diffusion models on digits" in html
    # real images and two models, and each model's closest pairs
    assert html.count("data:image/png") == 3 + 2


def test_one_checkpoint_and_a_folder_are_evaluated(finished, tmp_path, capsys):
    run = finished / "run"
    common = [
        "num_images=8", "extractor=small", f"extractor.small.path={finished}/extractor.safetensors",
        f"run_dir={tmp_path}", "device=cpu",
    ]  # fmt: skip
    file = run / "ddpm" / "model.safetensors"
    asked = [f"checkpoint={file}", "sampler=heun", "sampler.num_steps=3", *common]
    asked += ["metric=[fid,clip_score,kid,precision_recall,nearest,bits_per_dim]"]
    asked += ["metric.bits_per_dim.num_images=2", "metric.bits_per_dim.num_steps=3"]
    path = evaluation.evaluate(compose("evaluate", asked))
    result = Result.load(path)
    assert result.subject.network_evaluations == 5
    assert result.subject.sampler.startswith("Heun")
    assert result.subject.weights_sha256 == checkpoint.sha256(file)
    assert (tmp_path / "samples.png").is_file()
    printed = capsys.readouterr().out
    assert "FID-8 (small)" in printed and "bits/dim: " in printed and " (standard error " in printed

    images = [f"images={run / 'ddpm'}", *common[1:]]
    with pytest.raises(ValueError, match="data are"):  # a sample grid is no 16x16 image
        evaluation.evaluate(compose("evaluate", images))
    with pytest.raises(ValueError, match="give checkpoint=FILE"):
        evaluation.evaluate(compose("evaluate", common))
    autoencoder = f"checkpoint={run / 'autoencoder' / 'model.safetensors'}"
    found = Result.load(evaluation.evaluate(compose("evaluate", [autoencoder, *common])))
    assert {"psnr", "ssim", "rfid_small_8"} <= set(found.values)
    with pytest.raises(ValueError, match="an autoencoder generates none"):
        evaluation.evaluate(
            compose("evaluate", [autoencoder, *common, f"keep={tmp_path / 'x.npz'}"])
        )
    with pytest.raises(ValueError, match="zoo train model=small_extractor"):
        evaluation.evaluate(compose("evaluate", [*asked, "extractor.small.path=/absent"]))


def test_one_model_is_two_rows_with_settings_of_their_own(tmp_path, monkeypatch):
    named = "{ddpm: {model: ddpm, schedule: cosine}, quad: {model: ddpm, schedule: quad}}"
    small = ["model.denoiser.channels=32", "model.denoiser.channel_mult=[1]"]
    small += ["model.denoiser.attention_at=[]"]
    run = _experiment(tmp_path, *small, models=named).run()  # digits/ddpm, which ships, is linear
    with (run / "results.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["ddpm", "quad"]
    schedules = [
        checkpoint.config(run / name / "model.safetensors")["diffusion"]["schedule"]["_target_"]
        for name in ("ddpm", "quad")
    ]
    assert schedules[0].endswith("Cosine") and schedules[1] != schedules[0]
    monkeypatch.setattr("eval.study.trainings.train", None)
    _experiment(tmp_path, *small, models=named).run()  # nothing is trained again
    longer = named.replace("quad}", "quad, trainer.max_steps: 3}")
    with pytest.raises(ValueError, match=r"images_seen is 12 for quad but 8 for ddpm.*force=true"):
        _experiment(tmp_path, *small, models=longer).run()


def test_settings_of_the_protocol_need_no_prefix():
    flat = compose("compare", ["num_images=7", "labels=random", "seed=3", "protocol.seed=5"])
    protocol = protocols.of_comparison(flat)
    assert (protocol["num_images"], protocol["labels"], protocol["seed"]) == (7, "random", 5)
    assert protocols.of_comparison(compose("compare", ["protocol.num_images=7"]))["num_images"] == 7
    assert set(compose("evaluate")) & set(protocols.FLAT) <= set(flat)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_composes_the_same_for_training_and_comparison(experiment):
    whole = compose("compare", [f"experiment={experiment}"])
    assert list(whole.models) == list(MODELS)
    budgets = set()
    for model in (*MODELS, "autoencoder"):
        cfg = compose("train", [f"experiment={experiment}", f"model={model}"])
        fields = [cfg.data, cfg.recipe, cfg.seed, cfg.trainer.precision, cfg.trainer.max_steps]
        if model == "autoencoder":
            continue
        budgets.add(json.dumps([str(field) for field in fields]))
        assert cfg.conditioner._target_.endswith(
            "ClassToken" if model.startswith("guided") else "ClassLabel"
        )
    assert len(budgets) == 1
    assert json.dumps(
        [str(f) for f in (whole.data, whole.recipe, whole.seed, whole.trainer.precision,
                          whole.trainer.max_steps)]
    ) in budgets  # fmt: skip


@pytest.mark.parametrize("model", ["ddpm", "improved_ddpm"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_experiments_pixel_models_can_be_built(experiment, model):
    cfg = compose("train", [f"experiment={experiment}", f"model={model}"])
    module = instantiate(cfg.model, _convert_="all")
    assert module.conditioner.num_classes == 10
    assert sum(p.numel() for p in module.parameters()) < 3_000_000


def test_overrides_of_the_comparison_stay_with_it(tmp_path):
    cfg = _experiment(tmp_path, "+extractor.extra._target_=own.X", "force=true").training("ddpm")
    assert cfg.trainer.max_steps == 2
    assert Path(cfg.run_dir) == tmp_path / "run" / "ddpm"
    with pytest.raises(ValueError, match="a comparison has several models"):
        _experiment(tmp_path, "model=ddpm")
    with pytest.raises(ValueError, match="nothing to compare"):
        _experiment(tmp_path, models="[]")
    with pytest.raises(ValueError, match="names ddpm twice"):
        _experiment(tmp_path, models="[ddpm,ddpm]")
    with pytest.raises(ValueError, match="autoencoder is a Autoencoder, which generates no images"):
        _experiment(tmp_path, models="[ddpm,autoencoder]").run()
    with pytest.raises(ValueError, match="kl_f8 is the recipe of one model, autoencoder: `zoo"):
        Experiment(compose("compare", []), [], {"experiment": "kl_f8", "data": "digits"})


@pytest.mark.parametrize(
    ("verb", "override"),
    [
        ("compare", "experiment=digitz"),
        ("train", "experiment=digitz"),
        ("evaluate", "sampler=hoin"),
        ("evaluate", "guidance=clasifier"),
        ("compare", "protocol=defalt"),
    ],
)
def test_an_unknown_name_is_never_ignored(verb, override):
    with pytest.raises(ValueError, match=rf"no \w+ called '{override.partition('=')[2]}'; there"):
        compose(verb, [override])
