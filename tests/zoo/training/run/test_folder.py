"""What a run folder is: starting it or going on with it, one training at a time, its history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import zoo
from zoo import checkpoint
from zoo.callbacks import Loss
from zoo.models.ddpm import DDPM
from zoo.system.versions import versions
from zoo.training.run import folder as run_folder
from zoo.training.run.folder import RunFolder, check, state_to_resume
from zoo.training.train import train

QUIET = "callbacks.sample_grid=null"


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def starts(run_dir: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run_dir / "starts.jsonl").read_text().splitlines()]
    return [line for line in lines if "ended_at_step" not in line]


def test_one_command_starts_a_run_and_goes_on_with_it(
    config: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    assert_equal: Callable[[Any, Any], None],
) -> None:
    whole = train(config(tmp_path / "whole", "trainer.max_steps=6", QUIET))
    step = DDPM.training_step
    ends = [1, 3, 5]  # before the first state, and after each of two others

    def interrupted(self: Any, batch: Any, batch_idx: int) -> Any:
        if self.trainer.global_step == ends[0]:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    run_dir = tmp_path / "run"
    every = "callbacks.training_state.every_n_steps=2"
    cfg = config(run_dir, "trainer.max_steps=6", "ckpt_path=auto", every, QUIET)
    with monkeypatch.context() as patch:
        patch.setattr(DDPM, "training_step", interrupted)
        while ends:
            with pytest.raises(SystemExit):
                train(cfg)
            ends.pop(0)
    path = train(cfg)
    assert_equal(zoo.load(path).state_dict(), zoo.load(whole).state_dict())
    # the first start left no state, so the second one began again, in the same folder
    assert [start["step"] for start in starts(run_dir)] == [0, 0, 2, 4]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("run")] == ["run"]

    before = content(run_dir)
    capsys.readouterr()
    assert train(cfg) == path
    said = capsys.readouterr()
    assert said.out == f"{path} is finished: 6 steps were made, trainer.max_steps=6\n"
    assert said.err == "" and content(run_dir) == before
    with pytest.raises(ValueError, match=r"recipe\.optimizer\.lr was 0\.0002, now 0\.5"):
        train(config(run_dir, "trainer.max_steps=6", "ckpt_path=auto", "recipe.optimizer.lr=0.5"))
    assert content(run_dir) == before


def test_a_run_without_steps_to_make_is_refused_and_says_so(
    config: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(config(tmp_path, "trainer.max_steps=2", QUIET))
    before = content(tmp_path)
    capsys.readouterr()
    for steps in (2, 1):
        settings = [f"trainer.max_steps={steps}", QUIET, "ckpt_path=last"]
        with pytest.raises(ValueError, match=rf"max_steps={steps} leaves nothing .* above 2"):
            train(config(tmp_path, *settings))
    assert train(config(tmp_path, "trainer.max_steps=1", QUIET, "ckpt_path=auto")).is_file()
    assert "saved" not in capsys.readouterr().out
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"is past trainer\.max_steps=1: 2 steps were made"):
        train(config(tmp_path, "trainer.max_steps=1", QUIET, "ckpt_path=auto"))
    del before["model.safetensors"]
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("files", "ckpt_path", "said"),
    [
        ({}, "last", r"there is no .*last\.ckpt to resume from.*ckpt_path=auto"),
        ({}, "other.ckpt", r"there is no other\.ckpt"),
        ({"last.ckpt": b""}, "last", r"last\.ckpt is empty"),
        (
            {"last.ckpt": b"PK\x05\x06" + bytes(18)[:9]},
            "auto",
            "is no training state, or it is torn",
        ),
        ({"last.ckpt": b"nothing of a zip"}, "auto", "is no training state"),
        ({"model.safetensors": b""}, "auto", r"a trained model but no last\.ckpt to resume from"),
    ],
)
def test_what_cannot_be_resumed_is_refused_without_torch(
    tmp_path: Path, files: dict[str, bytes], ckpt_path: str, said: str
) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=said) as refused:
        check({"run_dir": str(tmp_path), "ckpt_path": ckpt_path})
    assert "\n" not in str(refused.value)
    assert content(tmp_path) == files


def test_the_check_before_torch_needs_no_torch() -> None:
    code = "import sys, zoo.training.run.folder; print(*{'torch', 'lightning'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_auto_starts_where_there_is_nothing(tmp_path: Path) -> None:
    assert state_to_resume("auto", tmp_path / "nowhere") is None
    assert state_to_resume(None, tmp_path) is None
    check({"run_dir": str(tmp_path / "nowhere"), "ckpt_path": "auto"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ckpt_path", [None, "auto"])
def test_a_second_training_in_a_folder_touches_nothing(
    config: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ckpt_path: str | None,
) -> None:
    monkeypatch.setattr(run_folder, "_LEAVING", 0.3)
    run_dir = tmp_path / "run"
    cfg = config(run_dir, f"ckpt_path={ckpt_path or 'null'}")
    with RunFolder(run_dir):
        (run_dir / "metrics.csv").write_text("of the first")
        before = content(run_dir)
        said = rf"run is in use by another training \(process {os.getpid()} on "
        with pytest.raises(ValueError, match=said):
            train(cfg)
        with pytest.raises(ValueError, match=said):
            check({"run_dir": str(run_dir), "ckpt_path": ckpt_path})
        assert content(run_dir) == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    check({"run_dir": str(run_dir), "ckpt_path": ckpt_path})


def test_another_folder_may_go_on_from_a_run_and_moves_its_own_aside(
    config: Callable[..., Any], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        train(config(tmp_path / name, "trainer.max_steps=1", QUIET))
    a = content(tmp_path / "a")
    state = f"ckpt_path={tmp_path / 'a' / 'last.ckpt'}"
    train(config(tmp_path / "b", "trainer.max_steps=2", QUIET, state))
    assert content(tmp_path / "a") == a
    assert checkpoint.provenance(tmp_path / "b" / "model.safetensors")["steps"] == 2
    assert checkpoint.provenance(tmp_path / "b.1" / "model.safetensors")["steps"] == 1
    assert not list(tmp_path.rglob(".lock"))


def test_the_history_is_of_all_starts_and_the_record_of_all_parts_whatever_callbacks_they_had(
    config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config(tmp_path, "trainer.max_steps=2", QUIET, "callbacks.throughput=null"))
    monkeypatch.setattr("zoo.training.train.device_name", lambda device: "another machine")
    more = ["trainer.max_steps=5", "ckpt_path=last", "sampler.num_steps=3"]
    facts = checkpoint.provenance(train(config(tmp_path, QUIET, *more)))

    first, second = starts(tmp_path)
    assert (first["step"], first["state"], second["step"]) == (0, None, 2)
    assert second["state"] == str(tmp_path / "last.ckpt")
    assert second["pid"] == os.getpid() and second["versions"] == versions()
    assert "changed" not in first and {"time", "host", "command", "git_commit"} <= {*first}
    assert second["changed"]["trainer.max_steps"] == [2, 5]
    assert second["changed"]["sampler.num_steps"] == [2, 3]
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["trainer"]["max_steps"] == 5

    one, other = facts["devices"]
    assert (one["steps"], other["steps"], other["device"]) == (2, 3, "another machine")
    assert facts["budget"]["device"] == f"{one['device']}, another machine"
    assert facts["budget"]["images_seen"] == 5 * 4
    assert facts["training_seconds"] == pytest.approx(one["seconds"] + other["seconds"], abs=0.06)
    assert facts["changes"] == [] and facts["budget"]["changes"] is None
    assert facts["settings"]["recipe"]["optimizer"]["lr"] == 2e-4
    assert "model" not in facts["settings"]


def test_a_start_that_fails_leaves_no_folder_behind(
    config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(self: Any) -> Any:
        raise AssertionError("the data are loaded")

    from zoo.data import Digits

    cfg = config(tmp_path / "runs" / "a", "model=latent_diffusion", tiny=[])
    monkeypatch.setattr(Digits, "load", loaded)
    with pytest.raises(ValueError, match="a latent model needs an autoencoder"):
        train(cfg)
    with pytest.raises(AssertionError):
        train(config(tmp_path / "runs" / "a"))
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_fails_before_its_first_step_writes_nothing(
    config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config(tmp_path / "run", "trainer.max_steps=1", QUIET))
    before = content(tmp_path)
    more = config(tmp_path / "run", "trainer.max_steps=3", QUIET, "ckpt_path=last")

    def failing(self: Any, trainer: Any, module: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(Loss, "on_fit_start", failing)
    with pytest.raises(OSError, match="no network"):
        train(more)
    with pytest.raises(OSError, match="no network"):
        train(config(tmp_path / "new", "trainer.max_steps=3", QUIET, "ckpt_path=auto"))
    assert content(tmp_path) == before and not (tmp_path / "new").exists()


def test_a_folder_without_a_state_is_used_again_and_its_rows_with_it(
    config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Any
) -> None:
    after = Loss.after_step

    def failing(self: Any, trainer: Any, module: Any) -> None:
        after(self, trainer, module)
        if trainer.global_step == 3:
            raise OSError("disk")

    settings = ["trainer.max_steps=4", QUIET, "ckpt_path=auto", "trainer.log_every_n_steps=1"]
    with monkeypatch.context() as patch:
        patch.setattr(Loss, "after_step", failing)
        with pytest.raises(OSError, match="disk"):
            train(config(tmp_path, *settings))
    (tmp_path / "wandb_id.txt").write_text("of the first start")
    (tmp_path / "averages").mkdir()
    (tmp_path / "averages" / "step_00000002.safetensors").write_text("of other settings")
    train(config(tmp_path, *settings))
    assert [int(row["step"]) for row in rows(tmp_path)] == [0, 1, 2, 3]
    assert not (tmp_path / "wandb_id.txt").exists() and not (tmp_path / "averages").exists()


def test_only_the_first_process_holds_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("zoo.system.group.ranks.is_first", lambda: False)
    with RunFolder(tmp_path / "run") as folder:
        folder.make_room(None, reuse=False)
        folder.describe({}, None, [])
        check({"run_dir": str(tmp_path / "run"), "ckpt_path": "last"})
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_fails_before_its_first_step_puts_the_earlier_run_back(
    config: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = train(config(tmp_path, "trainer.max_steps=2", QUIET))
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    scale = "+callbacks.scale={_target_: zoo.callbacks.ScaleByStd}"
    with pytest.raises(ValueError, match="this model has none"):
        train(config(tmp_path, "trainer.max_steps=2", QUIET, scale))
    assert "again" in capsys.readouterr().err
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
    assert trained.is_file()


def test_a_run_killed_in_its_last_picture_makes_it_when_it_is_resumed(
    config: Callable[..., Any], tmp_path: Path
) -> None:
    settings = ["trainer.max_steps=2", "callbacks.sample_grid.num_images=2"]
    train(config(tmp_path, *settings))
    lines = (tmp_path / "starts.jsonl").read_text().splitlines()
    (tmp_path / "starts.jsonl").write_text(lines[0] + "\n")  # as a kill leaves it
    (grid,) = (tmp_path / "samples").iterdir()
    grid.unlink()
    train(config(tmp_path, *settings, "ckpt_path=last"))
    assert grid.is_file()
    with pytest.raises(ValueError, match="leaves nothing to train"):
        train(config(tmp_path, *settings, "ckpt_path=last"))


def test_changes_are_allowed_to_a_training_that_is_resumed_alone(
    config: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="allow_changes=true is for a training that is resumed"):
        train(config(tmp_path, "allow_changes=true"))
