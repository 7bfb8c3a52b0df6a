import signal

import pytest

import zoo
from zoo.callbacks import Loss, SampleGrid
from zoo.models.ddpm import DDPM
from zoo.training.train import train


@pytest.fixture
def seen(monkeypatch):
    """What every training step of a DDPM was given and drew."""
    steps = []
    step = DDPM.training_step

    def recorded(self, batch, batch_idx):
        outputs = step(self, batch, batch_idx)
        noise = self.draw(len(batch), "noise")
        steps.append((batch.images.double().sum().item(), noise.indices, outputs["t"].tolist()))
        return outputs

    monkeypatch.setattr(DDPM, "training_step", recorded)
    return steps


@pytest.mark.parametrize(
    ("first", "overrides"),
    [
        (4, []),
        (3, ["trainer.accumulate_grad_batches=2"]),
        (4, ["+data.steps_per_epoch=3"]),  # in the middle of the second epoch
        (3, ["+data.steps_per_epoch=3"]),  # at the end of the first
        (4, ["+data.steps_per_epoch=5", "trainer.accumulate_grad_batches=2"]),
        (
            3,
            [
                "+data.steps_per_epoch=4",
                "trainer.limit_val_batches=1",
                "trainer.val_check_interval=2",
            ],
        ),
        (3, ["trainer.precision=bf16-mixed", "model.denoiser.dropout=0.3"]),
        (
            5,  # of four times, whose histories are full by then
            [
                "recipe/time_sampler=loss_second_moment",
                "recipe.time_sampler.history=1",
                "schedule=cosine",
                "schedule.num_timesteps=4",
            ],
        ),
    ],
)
def test_a_resumed_training_equals_an_unbroken_one_bit_for_bit(
    config, tmp_path, seen, first, overrides, state, assert_equal
):
    whole = train(config(tmp_path / "whole", "trainer.max_steps=8", *overrides))
    unbroken = list(seen)
    seen.clear()
    train(config(tmp_path / "parts", f"trainer.max_steps={first}", *overrides))
    parts = train(config(tmp_path / "parts", "trainer.max_steps=8", "ckpt_path=last", *overrides))
    assert seen == unbroken
    indices = [index for _, rows, _ in seen for index in rows]
    assert indices == list(range(len(indices))), "a draw was used twice, or left out"
    a, b = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert_equal(a["state_dict"], b["state_dict"])
    assert_equal(a["optimizer_states"], b["optimizer_states"])
    assert_equal(a["lr_schedulers"], b["lr_schedulers"])
    assert_equal(a["callbacks"]["EMA"], b["callbacks"]["EMA"])
    assert_equal(a["time_sampler"], b["time_sampler"])
    assert a["global_step"] == b["global_step"] == 8
    assert_equal(zoo.load(whole).state_dict(), zoo.load(parts).state_dict())


def test_ctrl_c_leaves_the_last_state_and_says_how_to_go_on(
    config, tmp_path, monkeypatch, capsys, state, rows, assert_equal
):
    unbroken = train(config(tmp_path / "whole", "trainer.max_steps=6"))
    step = DDPM.training_step

    def interrupted(self, batch, batch_idx):
        if self.trainer.global_step == 5:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    handler = signal.getsignal(signal.SIGINT)
    run_dir = tmp_path / "run"
    every = "callbacks.training_state.every_n_steps=2"
    with monkeypatch.context() as patch:
        patch.setattr(DDPM, "training_step", interrupted)
        with pytest.raises(SystemExit) as left:
            train(config(run_dir, "trainer.max_steps=6", every))
    assert left.value.code == 130
    assert signal.getsignal(signal.SIGINT) is handler
    assert "interrupted at step 5" in capsys.readouterr().err
    assert not (run_dir / "model.safetensors").exists()
    assert state(run_dir)["global_step"] == 4
    resumed = train(config(run_dir, "trainer.max_steps=6", every, "ckpt_path=last"))
    assert_equal(zoo.load(resumed).state_dict(), zoo.load(unbroken).state_dict())
    steps = [int(row["step"]) for row in rows(run_dir)]
    assert steps == [1, 3, 5], "a row is missing or there twice"


def test_the_weights_are_there_before_the_last_grid_and_ctrl_c_in_it_loses_nothing(
    config, tmp_path, monkeypatch, capsys, state
):
    drawn = []

    def interrupted(self, trainer, module):
        drawn.append({"model.safetensors", "last.ckpt"} <= {p.name for p in tmp_path.iterdir()})
        raise KeyboardInterrupt

    monkeypatch.setattr(SampleGrid, "draw", interrupted)
    with pytest.raises(SystemExit) as left:
        train(config(tmp_path, "trainer.max_steps=2", "callbacks.sample_grid.every_n_steps=2"))
    assert left.value.code == 130
    assert drawn == [True]
    said = capsys.readouterr().err
    assert f"{tmp_path / 'model.safetensors'} is whole, only pictures are missing" in said
    assert state(tmp_path)["global_step"] == 2
    assert zoo.load(tmp_path / "model.safetensors").generate(1).shape == (1, 1, 16, 16)


def test_the_state_of_a_step_is_written_before_its_grid_which_has_that_steps_averages(
    config, tmp_path, monkeypatch, state, assert_equal
):
    seen = []

    def draw(self, trainer, module):
        ema = module.recipe.ema
        saved = state(tmp_path)
        seen.append((trainer.global_step, saved["global_step"], ema.num_updates))
        assert_equal(saved["callbacks"]["EMA"]["averages"], ema.averages)

    monkeypatch.setattr(SampleGrid, "draw", draw)
    every = [f"callbacks.{name}.every_n_steps=2" for name in ("sample_grid", "training_state")]
    train(config(tmp_path, "trainer.max_steps=5", *every))
    assert seen == [(2, 2, 2), (4, 4, 4), (5, 5, 5)]


def test_a_grid_has_the_averages_of_its_step_where_no_state_is_written(
    config, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        SampleGrid,
        "draw",
        lambda self, trainer, module: seen.append(
            (trainer.global_step, module.recipe.ema.num_updates)
        ),
    )
    every = ["callbacks.sample_grid.every_n_steps=2", "callbacks.training_state=null"]
    train(config(tmp_path, "trainer.max_steps=5", *every))
    assert seen == [(2, 2), (4, 4), (5, 5)]


def test_a_state_is_written_where_another_callback_ends_the_training(
    config, tmp_path, monkeypatch, state, assert_equal
):
    whole = train(config(tmp_path / "whole", "trainer.max_steps=5"))
    after = Loss.after_batch

    def stopping(self, trainer, module, outputs, batch):
        after(self, trainer, module, outputs, batch)
        trainer.should_stop = trainer.global_step == 3

    with monkeypatch.context() as patch:
        patch.setattr(Loss, "after_batch", stopping)
        train(config(tmp_path / "parts", "trainer.max_steps=5"))
    assert state(tmp_path / "parts")["global_step"] == 3
    parts = train(config(tmp_path / "parts", "trainer.max_steps=5", "ckpt_path=last"))
    assert_equal(zoo.load(parts).state_dict(), zoo.load(whole).state_dict())


def test_a_finished_run_that_lacks_its_file_gets_it_by_resuming(config, tmp_path, assert_equal):
    small = [
        "model=autoencoder",
        "model.first_stage.channels=8",
        "model.first_stage.num_res_blocks=1",
    ]
    whole = train(config(tmp_path, "trainer.max_steps=2", tiny=small)).read_bytes()
    first = zoo.load(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    again = train(config(tmp_path, "trainer.max_steps=2", "ckpt_path=last", tiny=small))
    assert len(whole) and first.first_stage.scale.ne(1).all()
    assert_equal(zoo.load(again).state_dict(), first.state_dict())


def test_an_earlier_run_is_moved_aside_and_a_resumed_one_is_not(config, tmp_path):
    run_dir = tmp_path / "run"
    first = train(config(run_dir, "trainer.max_steps=2")).read_bytes()
    train(config(run_dir, "trainer.max_steps=2", "seed=1"))
    train(config(run_dir, "trainer.max_steps=4", "seed=1", "ckpt_path=last"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run.1"]
    assert (tmp_path / "run.1" / "model.safetensors").read_bytes() == first
