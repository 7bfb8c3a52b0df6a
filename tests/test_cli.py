"""The command line as a user meets it: fast help, plain words for mistakes, sound configs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import zoo
from eval import listing
from zoo import cli, entry, paths
from zoo.checkpoint import published
from zoo.command import help

VERBS = ["train", "sample", "evaluate", "compare", "sweep", "rosetta", "check", "convert"]
VERBS += ["statistics", "reproduce", "ema", "list", "cache", "doctor"]
PRIMARY = sorted(file.stem for file in paths.configs().glob("*.yaml"))
GROUPED = sorted(
    (file.parent.name, file.stem)
    for file in paths.configs().glob("*/*.yaml")
    if not file.stem.startswith("_")
)
NOISE = 4.0  # other processes run beside the tests


def users(group: str) -> list[str]:
    """The primary configs in whose defaults a group stands."""
    return [p for p in PRIMARY if group in help.groups(paths.configs() / f"{p}.yaml")]


def seconds(*arguments: str) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "zoo.cli", *arguments], check=True, capture_output=True
        )
        times.append(time.perf_counter() - start)
    return min(times)


def test_help_comes_at_once() -> None:
    assert seconds("--help") < 0.3 * NOISE


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_comes_soon(verb: str) -> None:
    assert seconds(verb, "--help") < 1.2 * NOISE


@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_nothing_heavy(verb: str) -> None:
    code = (
        "import sys; from zoo.cli import main; main([sys.argv[1], '--help']); "
        "print(sorted({'torch', 'lightning', 'numpy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, verb]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.splitlines()[-1] == "[]"
    assert printed.startswith(("zoo", "usage"))
    assert verb in printed


def test_the_zoo_itself_is_cheap_to_import() -> None:
    code = "import sys, zoo; zoo.paths.configs(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", zoo.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(zoo, name).__module__.startswith("zoo.")
    assert name in dir(zoo)


def test_a_name_that_is_not_there_is_missing_as_in_any_module() -> None:
    assert not hasattr(zoo, "DPM")


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_the_help_names_every_verb(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(argv)
    printed = capsys.readouterr().out
    assert all(f"\n  {verb} " in printed for verb in VERBS)


def test_a_wrong_verb_hears_what_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main(["trian", "model=ddpm"])
    assert exit.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no verb 'trian'" in said
    assert "did you mean 'train'" in said
    assert all(verb in said for verb in VERBS)


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--version"])
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    version = capsys.readouterr().out.split()[-1]
    assert f'version = "{version}"' in text


MISTAKES = {
    "model=ddmp": ["no model called 'ddmp'", "did you mean 'ddpm'", "latent_diffusion"],
    "modl=ddpm": ["unknown key 'modl'", "did you mean 'model'"],
    "trainer.max_step=5": ["unknown key 'trainer.max_step'", "'trainer.max_steps'"],
    "model.denoiser.chanels=5": ["unknown key", "'model.denoiser.channels'"],
    "banana=5": ["unknown key 'banana'", "seed"],
    "seed=[": ["cannot read 'seed=['"],
}


@pytest.mark.parametrize("override", MISTAKES)
def test_mistakes_get_one_line(override: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main(["train", override])
    assert exit.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(words in said for words in MISTAKES[override]), said
    with pytest.raises(ValueError) as raised:  # and the same words from Python
        entry.compose("train", [override])
    assert str(raised.value) in said


def test_flags_may_follow_overrides_and_a_folder_of_ones_own_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sampler").mkdir()
    (tmp_path / "sampler" / "mine.yaml").write_text("# mine\n_target_: my.Sampler\nnum_steps: 7\n")
    for argv in (
        ["sampler=mine", "--config-dir", str(tmp_path), "--cfg", "job", "--resolve"],
        ["--config-dir", str(tmp_path), "--cfg", "job", "sampler=mine"],
        [f"hydra.searchpath=[file://{tmp_path}]", "sampler=mine", "--cfg", "job"],
    ):
        cli.main(["train", *argv])
        printed = capsys.readouterr().out
        assert "_target_: my.Sampler" in printed
        assert "num_steps: 7" in printed


@pytest.mark.parametrize(("group", "name"), GROUPED)
def test_every_config_says_what_it_is_in_its_first_line(group: str, name: str) -> None:
    assert len(listing.entries(group)[name]) > 3


@pytest.mark.parametrize("name", PRIMARY)
def test_every_verbs_config_composes(name: str) -> None:
    from omegaconf import OmegaConf

    assert help.description(paths.configs() / f"{name}.yaml")
    OmegaConf.to_container(entry.compose(name), resolve=True)


@pytest.mark.parametrize(("group", "name"), GROUPED)
def test_every_config_composes_where_it_is_used(group: str, name: str) -> None:
    from omegaconf import OmegaConf

    verbs = users(group)
    assert verbs, f"no verb's config has the group '{group}'"
    problems = []
    for verb in verbs:
        try:
            OmegaConf.to_container(entry.compose(verb, [f"{group}={name}"]), resolve=True)
        except ValueError as error:
            problems.append(f"{verb}: {error}")
    # an experiment is for one verb; everything else is for every verb that has its group
    assert len(problems) < len(verbs) if group == "experiment" else not problems, problems


def test_a_list_names_every_config_file(capsys: pytest.CaptureFixture[str]) -> None:
    listing.main([])
    printed = capsys.readouterr().out
    listed = {folder for kind in listing.KINDS for folder in [listing.folder(kind)]}
    for group, name in GROUPED:
        if group in listed:
            assert f"  {name} " in printed


def test_a_list_of_metrics_says_what_each_computes() -> None:
    listed = listing.entries("metrics")
    assert "FID" in listed["fid"]
    assert "CLIP" in listed["clip_score"]
    assert "metric" not in listed  # the base


@pytest.mark.parametrize("name", ["uniform", "stratified", "loss_second_moment"])
def test_a_group_within_a_group_is_offered_listed_and_composed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from hydra.utils import instantiate

    cfg = entry.compose("train", [f"recipe/time_sampler={name}"])
    assert hasattr(instantiate(cfg.recipe.time_sampler), "sample")
    assert len(listing.entries("time_samplers")[name]) > 3
    cli.main(["train", "--help"])
    offered = "  recipe/time_sampler  loss_second_moment, stratified, uniform*"
    assert offered in capsys.readouterr().out


def test_a_list_of_an_unknown_kind_hears_what_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        listing.main(["sampelrs"])
    assert "did you mean 'samplers'" in capsys.readouterr().err


def test_shipped_checkpoints_are_listed_and_broken_ones_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = list(paths.checkpoints().rglob("*.safetensors"))
    listed = listing.entries("checkpoints")
    assert len(listed) == len(shipped) + len(published.published())
    assert "FID 3.60" in listed["ldm_cin256_v2"]
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "torn.safetensors").write_bytes(b"\x10\0\0\0")
    monkeypatch.setattr(paths, "checkpoints", lambda: tmp_path)
    listed = listing.entries("checkpoints")
    assert list(listed) == ["digits/torn"]
    assert "torn" in listed["digits/torn"]


@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        ("{zoo} list | head -1", 0, ""),
        ("{zoo} list > /dev/full", 2, "zoo list: [Errno 28] No space left on device\n"),
        ("{zoo} list samplers >&-", 0, ""),
        ("{zoo} list nothing 2>&-", 2, ""),
        ("PYTHONIOENCODING=ascii {zoo} list papers > /dev/null", 0, ""),
        ("ZOO_DATA='~nobody-here/x' {zoo} doctor > /dev/null", 2, "zoo doctor: a path begins"),
        ("{zoo} list '\x1b[31m' 2>&1 | head -c 24", 0, ""),
    ],
)
def test_streams_of_every_kind_get_one_line_or_none(shell: str, code: int, said: str) -> None:
    command = shell.format(zoo=f"{sys.executable} -m zoo.cli")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") <= 1
