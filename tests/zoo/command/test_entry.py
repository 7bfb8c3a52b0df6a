"""A verb's life under hydra, with a small config of the test's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zoo import entry, paths
from zoo.command import compose, overrides

CONFIG = """\
# a verb for the test
defaults:
  - sampler: short
  - _self_

seed: 0  # every draw
run_dir: runs/${seed}
trainer: {max_steps: 10}
twice: ${mul:2,${seed}}
"""


class Length:
    """What the test's config builds."""

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps};\n  at least 1 is needed")
        self.steps = steps


@pytest.fixture
def verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the test's verb and returns the configs that its task was called with."""
    configs = tmp_path / "configs"
    (configs / "sampler").mkdir(parents=True)
    (configs / "verb.yaml").write_text(CONFIG)
    for name, steps in {"short": 1, "long": 9}.items():
        sampler = f"# {name}\n_target_: verb_of_the_test.Length\nsteps: {steps}\n"
        (configs / "sampler" / f"{name}.yaml").write_text(sampler)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(paths, "configs", lambda: configs)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("ZOO_TRACEBACK", raising=False)

    def run(*argv: str, task: Any = None) -> list[dict[str, Any]]:
        from omegaconf import OmegaConf

        seen: list[dict[str, Any]] = []

        def default(cfg: Any) -> None:
            seen.append(OmegaConf.to_container(cfg, resolve=True))

        module = ModuleType("verb_of_the_test")
        module.task, module.Length = task or default, Length
        Length.__module__ = "verb_of_the_test"
        monkeypatch.setitem(sys.modules, "verb_of_the_test", module)
        entry.run("verb", "verb", "verb_of_the_test:task", argv)
        return seen

    return run


def test_the_task_gets_the_composed_config_and_no_folder_appears(verb: Any) -> None:
    (cfg,) = verb("seed=3", "sampler=long", "trainer.max_steps=5")
    assert cfg["trainer"] == {"max_steps": 5}
    assert cfg["sampler"]["steps"] == 9
    assert cfg["twice"] == 6
    assert cfg["run_dir"] == "runs/3"
    assert list(Path.cwd().iterdir()) == []


def test_a_sweep_gets_numbered_folders(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    runs = verb("-m", "seed=1,2", "sampler=short,long", "run_dir=sweep")
    assert [cfg["run_dir"] for cfg in runs] == [f"sweep/{i}" for i in range(4)]
    assert {(cfg["seed"], cfg["sampler"]["steps"]) for cfg in runs} == {
        (1, 1),
        (1, 9),
        (2, 1),
        (2, 9),
    }
    assert "sweep/3: " in capsys.readouterr().out
    assert {path.name for path in Path.cwd().iterdir()} == {"sweep"}


def test_a_sweep_without_a_name_gets_one_folder(verb: Any) -> None:
    first, second = verb("-m", "seed=1,2")
    assert Path(first["run_dir"]).parent == Path(second["run_dir"]).parent
    assert Path(first["run_dir"]).parent.name.startswith("sweep-")


def test_one_process_of_several_makes_a_sweeps_folder_and_says_a_mistake(
    verb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torchrun = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    for name, value in {**torchrun, "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert len(verb("-m", "seed=1,2", "run_dir=sweep")) == 2
    assert fails(verb, capsys, "sampler=nonsense") == (2, "")
    assert list(Path.cwd().iterdir()) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("queue", [{"SUBMITIT_EXECUTOR": "local"}, {"SLURM_RESTART_COUNT": "1"}])
def test_what_a_queue_may_start_again_resumes(
    verb: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, queue: dict[str, str]
) -> None:
    (tmp_path / "configs" / "verb.yaml").write_text(CONFIG + "ckpt_path: null\n")
    assert verb("seed=1")[0]["ckpt_path"] is None
    for name, value in queue.items():
        monkeypatch.setenv(name, value)
    assert verb("seed=1")[0]["ckpt_path"] == "auto"
    assert verb(f"ckpt_path={__file__}")[0]["ckpt_path"] == __file__


def test_submitits_launchers_are_for_sweeps_and_an_extra(
    verb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = fails(verb, capsys, "hydra/launcher=submitit_slurm", "seed=1")
    assert (code, "pip install" in line or "add -m" in line) == (2, True)
    monkeypatch.setattr(overrides, "_SUBMITIT", "hydra_plugins.not_there")
    code, line = fails(verb, capsys, "-m", "hydra/launcher=submitit_slurm", "seed=1")
    assert (code, "pip install 'diffusion-zoo[slurm]'" in line) == (2, True)


def fails(
    verb: Any, capsys: pytest.CaptureFixture[str], *argv: str, task: Any = None
) -> tuple[int, str]:
    with pytest.raises(SystemExit) as exit:
        verb(*argv, task=task)
    return int(exit.value.code or 0), capsys.readouterr().err


def test_a_value_error_is_one_line(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def task(cfg: Any) -> None:
        raise ValueError("the batch is 3;\n  possible are 4 and 8")

    said = (2, "zoo verb: the batch is 3; possible are 4 and 8\n")
    assert fails(verb, capsys, task=task) == said
    assert fails(verb, capsys, "-m", "seed=1,2", task=task) == said


def test_an_error_inside_a_constructor_says_where(
    verb: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def task(cfg: Any) -> None:
        from hydra.utils import instantiate

        instantiate(cfg.sampler)

    assert fails(verb, capsys, "sampler.steps=0", task=task) == (
        2,
        "zoo verb: steps is 0; at least 1 is needed (building 'sampler')\n",
    )
    code, said = fails(verb, capsys, "+sampler.stepps=3", task=task)
    assert code == 2
    assert "unexpected keyword argument 'stepps' (building 'sampler')" in said
    code, said = fails(verb, capsys, "sampler._target_=verb_of_the_test.Lenght", task=task)
    assert code == 2
    assert said.count("\n") == 1
    assert "verb_of_the_test.Lenght" in said


@pytest.mark.parametrize("key", ["seed", "twice", "trainer.max_steps"])
def test_a_key_that_the_verb_reads_cannot_be_removed(
    verb: Any, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    said = f"zoo verb: {key} is missing: `~` removed it; {key}=null may leave it empty\n"
    if key == "seed":  # which others refer to
        assert fails(verb, capsys, f"~{key}", "run_dir=x", "~twice")[0] == 2
    else:
        assert fails(verb, capsys, f"~{key}") == (2, said)
    assert verb("~sampler.steps")[0]["sampler"].keys() == {"_target_"}


@pytest.mark.parametrize(("override", "key"), [("+extra=1", "extra"), ("+extra.deep=1", "extra")])
def test_a_key_that_nothing_reads_is_refused(
    verb: Any, capsys: pytest.CaptureFixture[str], override: str, key: str
) -> None:
    said = f"zoo verb: {key}: nothing reads this key\n"
    assert fails(verb, capsys, override) == (2, said)
    (config,) = verb("+extra=3", "trainer.max_steps=${extra}")
    assert config["trainer"]["max_steps"] == 3


def test_a_full_disk_is_one_line(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def task(cfg: Any) -> None:
        raise OSError(28, "No space left on device", "last.ckpt")

    code, said = fails(verb, capsys, task=task)
    assert code == 2
    assert said == "zoo verb: [Errno 28] No space left on device: 'last.ckpt'\n"


def test_our_own_mistakes_keep_their_traceback(verb: Any) -> None:
    def task(cfg: Any) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        verb(task=task)


def test_the_traceback_may_be_asked_for(verb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def task(cfg: Any) -> None:
        raise ValueError("three")

    monkeypatch.setenv("ZOO_TRACEBACK", "1")
    with pytest.raises(ValueError, match="three"):
        verb(task=task)


def test_an_interruption_leaves_with_130(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def task(cfg: Any) -> None:
        raise KeyboardInterrupt

    assert fails(verb, capsys, task=task) == (130, "zoo verb: interrupted\n")


def test_a_verb_may_compose_while_it_runs(verb: Any) -> None:
    composed = []

    def task(cfg: Any) -> None:
        composed.append(entry.compose("verb", ["seed=7"]).seed)
        composed.append(entry.compose("verb", ["seed=8"]).seed)

    verb(task=task)
    assert composed == [7, 8]
    with pytest.raises(ValueError, match="no sampler called 'lnog'.*did you mean 'long'"):
        entry.compose("verb", ["sampler=lnog"])
    assert entry.compose("verb").seed == 0


def test_hydras_own_switch_is_left_as_it_was(verb: Any) -> None:
    before = os.environ.get("HYDRA_FULL_ERROR")
    verb()
    assert os.environ.get("HYDRA_FULL_ERROR") == before


def test_help_shows_groups_keys_and_flags(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    verb("--help")
    printed = capsys.readouterr().out
    assert printed.startswith("zoo verb: a verb for the test\n")
    assert "  sampler  long, short*" in printed
    assert "  seed: 0  # every draw" in printed
    assert "--multirun" in printed


@pytest.mark.parametrize(
    ("classes", "dropout", "rows"), [(10, 0.0, 10), (10, 0.1, 11), (None, 0.1, None)]
)
def test_a_label_table_has_a_row_for_the_null_label(
    classes: int | None, dropout: float, rows: int | None
) -> None:
    from omegaconf import OmegaConf
    from omegaconf.errors import InterpolationResolutionError

    compose.register_resolvers()
    cfg = OmegaConf.create({"n": classes, "p": dropout, "rows": "${label_rows:${n},${p}}"})
    if rows is None:
        with pytest.raises(InterpolationResolutionError, match="num_classes is null"):
            _ = cfg.rows
    else:
        assert cfg.rows == rows


def test_a_name_among_several_is_looked_up_and_so_is_a_setting_of_one_not_chosen() -> None:
    with pytest.raises(ValueError, match=r"no metric called 'fidd'; there are .*mean 'fid'"):
        entry.compose("evaluate", ["checkpoint=x", "metric=[kid,fidd]"])
    with pytest.raises(ValueError, match=r"'metric.kid.subsets' belongs to kid, which is not ch"):
        entry.compose("evaluate", ["checkpoint=x", "metric=[fid]", "metric.kid.subsets=5"])
