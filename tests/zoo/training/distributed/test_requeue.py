"""A job of a queue that is interrupted, and its next start."""

import os
import signal
import subprocess
import sys

import pytest

from zoo.callbacks import Loss
from zoo.entry import compose
from zoo.training.train import train

STEPS = "trainer.max_steps=6"


@pytest.fixture
def interrupted(monkeypatch):
    """Sends this process a signal in each of these steps, once."""

    def at(signum, *steps):
        left = list(steps)
        after = Loss.after_batch

        def signalled(self, trainer, module, outputs, batch):
            after(self, trainer, module, outputs, batch)
            if trainer.global_step in left:
                left.remove(trainer.global_step)
                os.kill(os.getpid(), signum)

        monkeypatch.setattr(Loss, "after_batch", signalled)

    return at


@pytest.fixture
def slurm(monkeypatch, tmp_path):
    """A SLURM job of one task, with a scontrol that notes what it is told."""
    log, tool = tmp_path / "scontrol.log", tmp_path / "bin" / "scontrol"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    for name, value in {"JOB_ID": "4711", "NTASKS": "1", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    return log


def test_slurm_queues_a_job_again_and_the_same_command_goes_on(
    config, tmp_path, interrupted, slurm, state, assert_equal, rows, capsys
):
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(config(whole, STEPS))
    interrupted(signal.SIGUSR1, 2, 4)
    for _ in range(2):
        with pytest.raises(SystemExit) as left:
            train(config(run, STEPS, "ckpt_path=auto"))
        assert left.value.code == 128 + signal.SIGUSR1
    assert "SLURM's job 4711 is queued again" in capsys.readouterr().err
    assert slurm.read_text() == "requeue 4711\n" * 2
    train(config(run, STEPS, "ckpt_path=auto"))
    for key in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_equal(state(run)[key], state(whole)[key])
    assert_equal(state(run)["callbacks"]["EMA"], state(whole)["callbacks"]["EMA"])
    curves = ("step", "train/loss", "train/loss_q1", "train/gradient_norm", "train/images_seen")
    kept = [[[row[name] for name in curves] for row in rows(folder)] for folder in (run, whole)]
    assert kept[0] == kept[1]
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_a_job_of_an_array_is_named_as_slurm_does(
    config, tmp_path, interrupted, slurm, monkeypatch
):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "99")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
    interrupted(signal.SIGUSR2, 1)
    with pytest.raises(SystemExit):
        train(config(tmp_path / "run", STEPS))
    assert slurm.read_text() == "requeue 99_7\n"


def test_a_job_that_cannot_be_queued_says_so(
    config, tmp_path, interrupted, slurm, monkeypatch, capsys
):
    tool = tmp_path / "bin" / "scontrol"
    tool.write_text("#!/bin/sh\necho 'requeue is disabled' >&2\nexit 1\n")
    interrupted(signal.SIGUSR1, 1)
    with pytest.raises(SystemExit):
        train(config(tmp_path / "run", STEPS))
    assert "job 4711 could not be queued again: requeue is disabled" in capsys.readouterr().err


def test_a_job_is_not_queued_again_by_ctrl_c_or_scancel(config, tmp_path, interrupted, slurm):
    interrupted(signal.SIGTERM, 1)
    with pytest.raises(SystemExit):
        train(config(tmp_path / "run", STEPS))
    assert not slurm.exists()


@pytest.mark.slow
def test_a_sweep_in_submitits_queue_survives_an_interruption(tmp_path, state, assert_equal):
    pytest.importorskip("submitit")
    (tmp_path / "pre_emption.py").write_text(PRE_EMPTION)
    overrides = [
        "model=ddpm", "data=digits", "data.batch_size=4", "trainer=cpu", "trainer.max_steps=4",
        "trainer.precision=32-true", "trainer.limit_val_batches=0", "callbacks.sample_grid=null",
        "model.denoiser.channels=32", "model.denoiser.channel_mult=[1]",
        "model.denoiser.attention_at=[]", "model.denoiser.num_res_blocks=1",
        "model.denoiser.dropout=0.1", "recipe.lr_scheduler.num_steps=5",
    ]  # fmt: skip
    train(compose("train", [*overrides, f"run_dir={tmp_path / 'whole'}"]))
    subprocess.run(
        [sys.executable, "-m", "zoo.cli", "train", "-m", *overrides, "seed=0", "run_dir=runs",
         "hydra/launcher=submitit_local", "+callbacks.pre._target_=pre_emption.PreEmption"],
        check=True, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    log = next((tmp_path / "runs" / ".submitit").glob("*/*.out")).read_text()
    assert log.count("Loading pickle") == 2
    for key in ("state_dict", "optimizer_states"):
        assert_equal(state(tmp_path / "runs" / "0")[key], state(tmp_path / "whole")[key])


PRE_EMPTION = """
import os, signal
from pathlib import Path
from lightning import Callback

class PreEmption(Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == 2 and not Path("done").exists():
            Path("done").touch()
            os.kill(os.getpid(), signal.SIGUSR2)
"""
