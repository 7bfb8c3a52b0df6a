"""Two processes of one training, as torchrun and srun start them."""

import os
import signal

import pytest
import torch
from omegaconf import OmegaConf

import zoo
from zoo.models.ddpm import DDPM
from zoo.system.ranks import Place
from zoo.training.distributed.engine import settle
from zoo.training.train import train

STEPS = ["trainer.max_steps=4", "trainer.limit_val_batches=1"]


def fail_at(monkeypatch, rank, action, step=2):
    """Does something to one rank in the middle of its training."""
    training_step = DDPM.training_step

    def broken(self, batch, batch_idx):
        if self.trainer.global_step == step and self.trainer.global_rank == rank:
            action()
        return training_step(self, batch, batch_idx)

    monkeypatch.setattr(DDPM, "training_step", broken)


def break_down():
    raise ValueError("a broken image")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("starter", ["torchrun", "srun"])
def test_two_processes_share_a_run_and_make_that_of_one(config, ranks, tmp_path, starter):
    whole = train(config(tmp_path / "one", *STEPS))
    run_dir = tmp_path / "two"
    for _ in range(2):
        ended = ranks(config(run_dir, *STEPS), starter)
        assert ended.codes == [0, 0], ended.err
        assert ended.out.splitlines()[1:] == [f"saved {run_dir / 'model.safetensors'}"]
    assert ended.err == [f"{run_dir} held an earlier run: it is now {run_dir}.1"]
    names = {p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*")}
    assert {p.relative_to(run_dir) for p in run_dir.rglob("*")} == names
    trainer = OmegaConf.load(run_dir / "config.yaml").trainer
    assert (trainer.devices, trainer.num_nodes) == (2, 1)
    one, two = zoo.load(whole).state_dict(), zoo.load(run_dir / "model.safetensors").state_dict()
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("action", "said"),
    [(break_down, "zoo train: a broken image"), (die, "zoo train: another process of this")],
)
def test_one_that_fails_ends_all_in_one_line(
    config, ranks, tmp_path, monkeypatch, rank, action, said
):
    fail_at(monkeypatch, rank, action)
    ended = ranks(config(tmp_path / "run", *STEPS))
    assert all(ended.codes)
    assert ended.seconds < 60
    assert [line[: len(said)] for line in ended.err] == [said]
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_what_rank_0_finds_wrong_ends_the_others_without_a_word(config, ranks, tmp_path):
    ended = ranks(config(tmp_path / "run", "ckpt_path=last"))
    assert ended.codes == [2, 1]
    assert len(ended.err) == 1
    assert "there is no" in ended.err[0]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_one_process_ends_all_with_the_state_and_auto_resumes(
    config, ranks, tmp_path, monkeypatch, state, assert_equal, signum
):
    whole = ranks(config(tmp_path / "whole", *STEPS))
    with monkeypatch.context() as patch:
        fail_at(patch, 0, lambda: os.kill(os.getpid(), signum))
        ended = ranks(config(tmp_path / "run", *STEPS))
    assert not any(whole.codes)
    assert ended.codes[0] == 128 + signum
    assert state(tmp_path / "run")["global_step"] == 3
    ended = ranks(config(tmp_path / "run", *STEPS, "ckpt_path=auto"))
    assert ended.codes == [0, 0], ended.err
    for key in ("state_dict", "optimizer_states"):
        assert_equal(state(tmp_path / "run")[key], state(tmp_path / "whole")[key])


def test_the_config_is_that_of_rank_0(config, ranks, tmp_path):
    cfg = config(tmp_path / "x", *STEPS)
    OmegaConf.register_new_resolver("process", lambda: os.getpid(), replace=True)
    cfg.run_dir = f"{tmp_path}/run-${{process:}}"
    assert ranks(cfg).codes == [0, 0]
    assert len(list(tmp_path.glob("run-*"))) == 1


@pytest.mark.parametrize(
    ("devices", "nodes", "said"),
    [(1, 1, None), ("auto", 1, None), (4, 2, None), (3, 1, r"devices=3"), (4, 3, r"num_nodes=3")],
)
def test_the_launcher_says_how_many_processes_there_are(devices, nodes, said):
    cfg = OmegaConf.create({"trainer": {"devices": devices, "num_nodes": nodes}})
    if said is None:
        settle(cfg, Place("srun", 5, 1, 4, 2))
        assert cfg.trainer == {"devices": 4, "num_nodes": 2}
    else:
        with pytest.raises(ValueError, match=rf"trainer\.{said}, but srun has started 4 processes"):
            settle(cfg, Place("srun", 5, 1, 4, 2))
