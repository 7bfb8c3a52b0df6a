import errno
import os

import pytest

from zoo.callbacks import TrainingState
from zoo.callbacks.sample_grid import SampleGrid
from zoo.checkpoint import state_file
from zoo.models.ddpm import DDPM
from zoo.training.train import train

QUICK = ["trainer.max_steps=8", "callbacks.sample_grid=null"]


def states(run_dir):
    return sorted(p.name for p in run_dir.glob("*.ckpt"))


def named(*steps):
    return sorted(["last.ckpt", *(f"step_{step:08}.ckpt" for step in steps)])


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ([], []),
        (["keep_last=2"], [6, 8]),
        (["keep_last=10"], [2, 4, 6, 8]),
        (["keep_every_n_steps=3"], [3, 6]),
        (["keep_steps=[1,4]"], [1, 4]),
        (["keep_last=2", "keep_steps=[1]", "keep_every_n_steps=5"], [1, 5, 6, 8]),
    ],
)
def test_the_newest_and_the_chosen_states_are_kept(config, tmp_path, settings, steps):
    settings = [f"callbacks.training_state.{x}" for x in ["every_n_steps=2", *settings]]
    train(config(tmp_path, *QUICK, *settings))
    assert states(tmp_path) == named(*steps)
    assert state_file.read(tmp_path / "last.ckpt")["global_step"] == 8
    for step in steps:
        assert state_file.read(tmp_path / f"step_{step:08}.ckpt")["global_step"] == step


def test_a_run_that_goes_back_gives_up_the_states_after_it(config, tmp_path, state):
    settings = ["callbacks.training_state.every_n_steps=2", "callbacks.training_state.keep_last=3"]
    train(config(tmp_path, *QUICK, *settings))
    assert states(tmp_path) == named(4, 6, 8)
    back = f"ckpt_path={tmp_path}/step_00000004.ckpt"
    train(config(tmp_path, "callbacks.sample_grid=null", *settings, back, "trainer.max_steps=5"))
    assert states(tmp_path) == named(4, 5)
    assert state(tmp_path)["global_step"] == 5


def test_an_old_state_goes_only_when_the_new_one_is_there(config, tmp_path, monkeypatch):
    seen = []
    keep = TrainingState._keep

    def checked(self):
        seen.append((state_file.read(self.path)["global_step"], states(tmp_path)))
        keep(self)

    monkeypatch.setattr(TrainingState, "_keep", checked)
    settings = ["callbacks.training_state.every_n_steps=2", "callbacks.training_state.keep_last=2"]
    train(config(tmp_path, "trainer.max_steps=6", "callbacks.sample_grid=null", *settings))
    assert seen[:3] == [(2, named()), (4, named(2)), (6, named(2, 4))]


@pytest.mark.parametrize("argument", ["every_n_steps", "keep_last", "keep_every_n_steps"])
def test_impossible_numbers_are_refused(tmp_path, argument):
    with pytest.raises(ValueError, match=f"{argument} is positive, got 0"):
        TrainingState(tmp_path / "last.ckpt", **{argument: 0})
    with pytest.raises(ValueError, match="keep_steps is positive, got -3"):
        TrainingState(tmp_path / "last.ckpt", keep_steps=[1, -3])


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_a_full_disk_keeps_the_old_state_says_so_and_the_training_goes_on(
    config, tmp_path, monkeypatch, assert_equal, rows
):
    every = "callbacks.training_state.every_n_steps=2"
    train(config(tmp_path / "whole", *QUICK, every))
    write, tried = state_file._Stream._write, []

    def full(self, data):
        if "last.ckpt" in self.file.name and tried[-1] in (4, 6):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, data)

    at = TrainingState.write

    def noted(self, trainer, *args, **kwargs):
        tried.append(trainer.global_step)
        at(self, trainer, *args, **kwargs)
        kept.append(state_file.read(self.path)["global_step"])

    kept = []
    monkeypatch.setattr(state_file._Stream, "_write", full)
    monkeypatch.setattr(TrainingState, "write", noted)
    with pytest.warns(UserWarning, match=r"state of step 4 cannot be written \(No space left"):
        train(config(tmp_path / "run", *QUICK, every))
    assert (tried[:4], kept[:4]) == ([2, 4, 6, 8], [2, 2, 2, 8])
    assert not list((tmp_path / "run").glob(".*"))
    assert [r["train/loss"] for r in rows(tmp_path / "run")] == [
        r["train/loss"] for r in rows(tmp_path / "whole")
    ]


def test_what_killed_writers_left_goes_at_the_next_start(config, tmp_path):
    run_dir = tmp_path / "run"
    train(config(run_dir, "trainer.max_steps=1"))
    (run_dir / "samples").mkdir(exist_ok=True)
    left = [run_dir / ".last.ckpt.123.part", run_dir / "samples" / ".step_1.png.77.part"]
    kept = [run_dir / ".hidden", run_dir / "notes.part", run_dir / ".notes.part"]
    for file in left + kept:
        file.write_bytes(b"torn")
    train(config(run_dir, "trainer.max_steps=2", "ckpt_path=last"))
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in kept)


def untimed(rows):
    return [{**row, "train/images_per_second": ""} for row in rows]


def test_what_a_kill_took_from_the_states_step_is_made_by_the_resumed_run(
    config, tmp_path, monkeypatch, rows
):
    """Validation and grid of a step whose state was written before them."""
    settings = [
        "trainer.max_steps=8",
        "trainer.limit_val_batches=1",
        "trainer.val_check_interval=4",
        "callbacks.training_state.every_n_steps=4",
        "callbacks.sample_grid.every_n_steps=4",
    ]
    whole = tmp_path / "whole"
    train(config(whole, *settings))
    killed = [(SampleGrid, "draw", 4), (DDPM, "validation_step", 4), (DDPM, "validation_step", 8)]
    for number, (owner, method, step) in enumerate(killed):
        run = tmp_path / f"run{number}"
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, _killed(getattr(owner, method), step))
            with pytest.raises(RuntimeError, match="killed"):
                train(config(run, *settings))
        assert state_file.read(run / "last.ckpt")["global_step"] == step
        train(config(run, *settings, "ckpt_path=last"))
        assert untimed(rows(run)) == untimed(rows(whole))
        names = [sorted(p.name for p in (folder / "samples").iterdir()) for folder in (run, whole)]
        assert names[0] == names[1]


def _killed(method, step):
    def call(self, first, *args):
        trainer = getattr(self, "trainer", None) or first
        if trainer.global_step == step:
            raise RuntimeError("killed")
        return method(self, first, *args)

    return call
