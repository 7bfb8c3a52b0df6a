"""The parts of CONTRIBUTING.md, in a folder of their own, through the real command line."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo
from eval.report.text import to_csv
from eval.result.record import Result
from eval.table.table import compare
from eval.table.verdict import verdicts
from zoo import checkpoint, cli, entry
from zoo.command.overrides import make_current_folder_importable

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## Your own parts")[2].partition("\n## ")[0]
FILES = dict(re.findall(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```$", SECTION, re.M | re.S))
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", SECTION, re.M | re.S)
    for line in block.splitlines()
]  # fmt: skip
MODULES = [Path(name).stem for name in FILES if name.endswith(".py")]
KINDS = {
    "sampler": "midpoint", "schedule": "shifted_cosine", "guidance": "fading", "model": "plain",
    "conditioner": "parity", "data": "discs", "metric": "confidence",
}  # fmt: skip
TINY = {
    "train": [
        "trainer=cpu", "trainer.precision=32-true", "trainer.max_steps=1", "data.batch_size=4",
        "trainer.limit_val_batches=0", "trainer.log_every_n_steps=1", "sampler.num_steps=2",
        "~callbacks.sample_grid",
    ],
    "sample": ["num_images=2", "sampler.num_steps=2", "device=cpu"],
    "evaluate": ["num_images=40", "sampler.num_steps=2", "device=cpu", "cache=false"],
}  # fmt: skip
UNET = ["channels=32", "channel_mult=[1]", "attention_at=[]", "num_res_blocks=1"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the examples in it, current and forgotten afterwards."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.setenv("ZOO_TRACEBACK", "1")
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


def run(command: str, *more: str) -> None:
    """What a shell would run, made small."""
    program, verb, *arguments = shlex.split(command)
    assert program == "zoo"
    tiny = TINY.get(verb, [])
    if verb == "train" and "model=plain" not in arguments:
        tiny = [*tiny, *(f"model.denoiser.{setting}" for setting in UNET)]
    cli.main([verb, *arguments, *tiny, *more])


def test_there_is_an_example_of_each_and_none_is_long() -> None:
    assert {name for name in FILES if "/" in name} == {
        f"configs/{group}/{name}.yaml" for group, name in KINDS.items()
    }
    assert len(MODULES) == 7
    for name, content in FILES.items():
        assert len([line for line in content.splitlines() if line]) <= 20, name
        assert all(len(line) <= 100 for line in content.splitlines()), name
    for group, name in KINDS.items():
        chosen = re.compile(rf"{group}=(\[[\w,]*)?{name}\b")
        assert any(chosen.search(command) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run_as_they_stand(
    command: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "runs/plain/model.safetensors" in command:
        run(COMMANDS[COMMANDS.index(command) - 1])
    run(command)
    made = [*project.rglob("model.safetensors"), *project.rglob("*.png")]
    said = capsys.readouterr().out
    assert "properties hold" in said and "FAIL" not in said if "zoo check" in command else made


def test_a_model_of_nothing_but_ones_own_parts_is_saved_and_loaded(project: Path) -> None:
    parts = [
        f"{group}={name}" for group, name in KINDS.items() if group not in ("guidance", "metric")
    ]
    run(f"zoo train --config-dir configs run_dir=run {' '.join(parts)}")
    path = project / "run" / "model.safetensors"
    config = checkpoint.config(path)
    assert config["denoiser"]["_target_"] == "plain.Plain"
    assert config["diffusion"]["schedule"]["_target_"] == "shifted_cosine.ShiftedCosine"
    assert config["sampler"]["_target_"] == "midpoint.Midpoint"
    assert config["conditioner"] == {"_target_": "parity.Parity"}
    with pytest.raises(ValueError, match=r"say trust=\[\w+\] on the command line, or load\(path"):
        zoo.load(path)
    trusted = ("plain", "shifted_cosine", "midpoint", "parity")
    module = zoo.load(path, trust=trusted)
    assert module.generate(2, [0, 1]).shape == (2, 1, 16, 16)
    assert module.network_evaluations == 2 * 3  # two steps, the last of which ends clean
    saved = f"zoo sample checkpoint={path}"
    with pytest.raises(ValueError, match="is not trusted"):
        run(saved)
    run(f"{saved} trust=[{','.join(trusted)}] out=mine.png")
    assert (project / "mine.png").is_file()


def test_the_current_folder_comes_last_and_once(project: Path) -> None:
    (project / "random.py").write_text("raise RuntimeError('not the standard one')\n")
    for _ in range(2):
        make_current_folder_importable()
    assert sys.path[-1] == str(project) and sys.path.count(str(project)) == 1


@pytest.mark.parametrize(
    "flags", [["--config-dir", "configs"], ["--config-dir=configs"], ["hydra.searchpath=[configs]"]]
)
def test_ones_own_configs_are_listed_and_offered(project, flags, capsys) -> None:
    cli.main(["list", *flags])
    listed = capsys.readouterr().out
    for name in KINDS.values():
        assert re.search(rf"^  {name} +\w", listed, re.M)
    cli.main(["list", "samplers", *flags])
    assert "midpoint rule on the probability flow" in capsys.readouterr().out
    cli.main(["train", "--help", *flags])
    assert re.search(r"^  schedule .*shifted_cosine", capsys.readouterr().out, re.M)
    cli.main(["list", "samplers"])
    assert "midpoint" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [["--config-dir", "configs"], ["hydra.searchpath=[file://configs]"]]
)
def test_a_comparison_finds_them_in_each_of_its_trainings(project, flags, monkeypatch) -> None:
    from eval.study.comparison import Experiment

    seen = []
    monkeypatch.setattr(Experiment, "run", lambda self: seen.append(self.training("plain")))
    cli.main(["compare", *flags, "models=[plain]", "sampler=midpoint", "trainer=cpu"])
    assert seen[0].model.denoiser._target_ == "plain.Plain"
    assert seen[0].sampler._target_ == "midpoint.Midpoint"
    assert (
        entry.compose("train", ["schedule=shifted_cosine"], ["configs"]).schedule.image_size == 16
    )
    with pytest.raises(ValueError, match="no sampler called 'midpoint'"):
        entry.compose("train", ["sampler=midpoint"])


def test_an_evaluation_takes_ones_own_sampler(project: Path) -> None:
    run(
        "zoo evaluate --config-dir configs checkpoint=digits/ddpm sampler=midpoint",
        "num_images=12",
        "sampler.num_steps=2", "extractor=small", "device=cpu", "run_dir=measured",
        "metric=[bits_per_dim]", "metric.bits_per_dim.num_images=2",
        "metric.bits_per_dim.num_steps=2",
    )  # fmt: skip
    assert '"sampler": "Midpoint"' in (project / "measured" / "result.json").read_text()


def test_ones_own_metric_comes_with_floor_interval_column_and_verdict(project: Path) -> None:
    chosen = "zoo evaluate --config-dir configs metric=[confidence] checkpoint=digits/"
    name, models = "confidence_small", ("ddpm", "latent_diffusion")
    for model in models:
        run(f"{chosen}{model} name={model} run_dir={model}")
    results = [Result.load(project / model / "result.json") for model in models]
    value = results[0].values[name]
    assert value.interval is not None and value.interval[0] < value.value < value.interval[1]
    assert value.floor is not None and value.detail["deviation"] > 0
    table = compare(results, force=True)
    column = next(column for column in table.columns if column.key == name)
    assert (column.title, column.on_page) == ("confidence (small) ↑", True)
    assert column.definition == value.definition
    assert name in to_csv(table).splitlines()[0].split(",")
    assert {verdict.metric for verdict in verdicts(results)} == {name}
    (project / "configs/metric/confidence.yaml").write_text("_target_: confidence.Confidence\n")
    with pytest.raises(ValueError, match=r"its first line is '# @package metric.NAME'$"):
        run(f"{chosen}ddpm run_dir=never")


def test_what_could_not_be_saved_is_refused_before_it_is_trained(project: Path) -> None:
    (project / "plain.py").write_text(FILES["plain.py"].replace("(Part, nn.Module)", "(nn.Module)"))
    with pytest.raises(
        ValueError, match=r"cannot write a Plain .* make it a subclass of zoo\.Part"
    ):
        run("zoo train --config-dir configs model=plain run_dir=run")
    assert not (project / "run").exists()
