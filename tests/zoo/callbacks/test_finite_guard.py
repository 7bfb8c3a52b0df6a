"""What is not finite is skipped or stops a training, and is never saved."""

import math

import pytest
import torch

import zoo
from zoo.callbacks import EMA, FiniteGuard
from zoo.models.ddpm import DDPM
from zoo.system.finite import NotFinite, check_state, first_not_finite
from zoo.training.train import train

NAN, INF = math.nan, math.inf
EVERY = [
    "callbacks.training_state.every_n_steps=2", "callbacks.sample_grid=null",
    "callbacks.finite_guard.max_in_a_row=2", "trainer.log_every_n_steps=1",
]  # fmt: skip


def pixel(module, batch):
    batch.images[1, 0, 2, 2] = NAN
    return batch


def weight(module, batch):
    module.denoiser.conv_in.weight.data[0, 0, 0, 0] = INF
    return batch


def rate(value):
    def change(module, batch):
        module.trainer.lr_scheduler_configs[0].scheduler.base_lrs = [value]
        module.trainer.optimizers[0].param_groups[0]["lr"] = value
        return batch

    return change


def moment(name, value):
    def change(module, batch):
        state = module.trainer.optimizers[0].state
        state[next(iter(state))][name].fill_(value)
        return batch

    return change


def averages(module, batch):
    (ema,) = [c for c in module.trainer.callbacks if isinstance(c, EMA)]
    next(iter(ema.state_dict()["averages"].values())).fill_(NAN)
    return batch


@pytest.fixture
def broken(monkeypatch):
    """Changes a batch, or the model, before the training steps of these numbers."""
    step = DDPM.training_step

    def patch(change, steps):
        def changed(self, batch, batch_idx):
            return step(self, change(self, batch) if batch_idx in steps else batch, batch_idx)

        monkeypatch.setattr(DDPM, "training_step", changed)

    return patch


def test_a_skipped_step_changes_nothing_and_goes_on(
    config, tmp_path, broken, state, rows, capsys, assert_equal
):
    broken(pixel, {4})
    train(config(tmp_path / "before", "trainer.max_steps=4", *EVERY))
    train(config(tmp_path / "run", "trainer.max_steps=5", *EVERY))
    said = capsys.readouterr().err
    before, after = state(tmp_path / "before"), state(tmp_path / "run")
    assert "step 5 is skipped: the images are not finite (training images " in said
    assert after["global_step"] == 5 and after["callbacks"]["FiniteGuard"]["skipped"] == 1
    assert_equal(before["state_dict"], after["state_dict"])
    assert_equal(before["callbacks"]["EMA"], after["callbacks"]["EMA"])
    assert_equal(before["optimizer_states"][0]["state"], after["optimizer_states"][0]["state"])
    assert after["lr_schedulers"][0]["last_epoch"] == before["lr_schedulers"][0]["last_epoch"] + 1
    losses = {int(row["step"]): row for row in rows(tmp_path / "run")}
    assert losses[4]["train/skipped_steps"] == "1.0" and losses[3]["train/skipped_steps"] == "0.0"
    assert not losses[4].get("train/loss") and not losses[4].get("train/gradient_norm")
    # and it is resumed bit for bit
    whole = train(config(tmp_path / "whole", "trainer.max_steps=8", *EVERY))
    parts = train(config(tmp_path / "run", "trainer.max_steps=8", "ckpt_path=last", *EVERY))
    assert_equal(zoo.load(whole).state_dict(), zoo.load(parts).state_dict())
    assert state(tmp_path / "run")["callbacks"]["FiniteGuard"] == {"skipped": 1, "in_a_row": 0}


@pytest.mark.parametrize(
    ("change", "steps", "said"),
    [
        (pixel, range(3, 99), r"step 6: the images are not finite \(training images .*\); 3 steps "
         r"skipped in a row, 2 may be; lower recipe.optimizer.lr.*last.ckpt is as it was before"),
        (weight, {3}, "step 4: denoiser.conv_in.weight is not finite"),
        (rate(INF), {3}, "the learning rate is inf"),
        (rate(1e30), {3}, "a weight .* with this step; lower recipe.optimizer.lr"),
        (moment("exp_avg", NAN), {3}, "step 4: denoiser.* is not finite with this step"),
        (moment("exp_avg_sq", INF), {3}, "the state at step 4 is not written: optimizer_states"),
        (averages, {3}, "the state at step 4 is not written: callbacks.EMA.averages"),
    ],
    ids=["images", "weight", "rate", "large rate", "moment", "second moment", "average"],
)  # fmt: skip
def test_what_skipping_does_not_cure_stops_and_spares_the_state(
    config, tmp_path, broken, state, change, steps, said
):
    broken(change, steps)
    with pytest.raises(NotFinite, match=said) as stopped:
        train(config(tmp_path, "trainer.max_steps=9", *EVERY))
    assert stopped.value.exit_code == 1 and "\n" not in str(stopped.value)
    assert state(tmp_path)["global_step"] == 2
    assert first_not_finite(state(tmp_path)) is None
    assert not (tmp_path / "model.safetensors").exists()


def test_skipped_steps_in_all_have_a_limit_too(config, tmp_path, broken):
    broken(pixel, {1, 3, 5})
    with pytest.raises(NotFinite, match="step 6: .*; 3 steps skipped in all, 2 may be"):
        train(config(tmp_path, "trainer.max_steps=9", *EVERY, "callbacks.finite_guard.max_total=2"))
    with pytest.raises(ValueError, match="not negative, got -1"):
        FiniteGuard(max_in_a_row=-1)


def test_of_accumulated_batches_one_is_enough(config, tmp_path, broken, state):
    broken(pixel, {4})
    train(config(tmp_path, "trainer.max_steps=4", "trainer.accumulate_grad_batches=2", *EVERY))
    assert state(tmp_path)["callbacks"]["FiniteGuard"]["skipped"] == 1
    assert state(tmp_path)["callbacks"]["EMA"]["num_updates"] == 3


def test_a_model_that_is_not_finite_is_not_saved(tmp_path):
    model = zoo.load("digits/ddpm")
    model.denoiser.conv_in.weight.data[0, 0, 0, 0] = NAN
    with pytest.raises(NotFinite, match=r"is not written: denoiser\.conv_in\.weight is not finite"):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_best_score_of_lightnings_callbacks_may_be_infinite():
    from types import SimpleNamespace

    from lightning.pytorch.callbacks import EarlyStopping

    stopping = EarlyStopping("loss")
    trainer = SimpleNamespace(callbacks=[stopping], global_step=1)
    score = {"best_score": torch.tensor(INF)}
    check_state({"callbacks": {stopping.state_key: score}}, trainer)
    with pytest.raises(NotFinite, match=r"callbacks\.Own\.best_score is not finite"):
        check_state({"callbacks": {"Own": score}}, trainer)
