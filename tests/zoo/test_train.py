import csv
import json
import signal

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import checkpoint
from zoo.callbacks import Loss, SampleGrid
from zoo.models.ddpm import DDPM
from zoo.sampler import DDIM, DPMSolver
from zoo.system.picture import image_grid
from zoo.training.train import train


def state(run_dir):
    return torch.load(run_dir / "last.ckpt", weights_only=True)


def rows(run_dir):
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


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
    config, tmp_path, seen, first, overrides
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


def assert_equal(a, b):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b


def test_ctrl_c_leaves_the_last_state_and_says_how_to_go_on(config, tmp_path, monkeypatch, capsys):
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


def test_a_run_folder_holds_all_of_a_run(config, tmp_path):
    run_dir = tmp_path / "run"
    path = train(
        config(run_dir, "trainer.max_steps=4", "trainer.limit_val_batches=1",
               "trainer.val_check_interval=2", "callbacks.sample_grid.every_n_steps=2")
    )  # fmt: skip
    assert path == run_dir / "model.safetensors"
    names = {str(p.relative_to(run_dir)) for p in run_dir.rglob("*") if p.is_file()}
    assert names == {
        "config.yaml",
        "last.ckpt",
        "metrics.csv",
        "model.safetensors",
        "samples/step_00000002_DPMSolver2.png",
        "samples/step_00000004_DPMSolver2.png",
    }
    logged = rows(run_dir)
    assert [int(row["step"]) for row in logged] == [1, 3]
    for row in logged:
        rate = 2e-4 * min(1, (int(row["step"]) + 1) / 5)
        assert float(row["train/learning_rate"]) == pytest.approx(rate)
        assert int(float(row["train/images_seen"])) == 4 * (int(row["step"]) + 1)
        for name in ("train/loss", "train/gradient_norm", "train/images_per_second"):
            assert float(row[name]) > 0
        quartiles = [row[f"train/loss_q{q}"] for q in range(1, 5)]
        assert any(quartiles)
    assert any(float(row["validation/loss"] or 0) > 0 for row in logged)


def test_the_file_has_averaged_weights_and_says_where_they_come_from(config, tmp_path):
    overrides = ["trainer.max_steps=4", "trainer.accumulate_grad_batches=2"]
    path = train(config(tmp_path, *overrides))
    saved = state(tmp_path)
    averages = saved["callbacks"]["EMA"]["averages"]
    loaded = dict(zoo.load(path).named_parameters())
    assert averages.keys() == loaded.keys()
    for name, value in averages.items():
        assert torch.equal(loaded[name], value)
    raw = saved["state_dict"]
    assert sum(not torch.equal(raw[name], value) for name, value in averages.items()) > 20
    facts = checkpoint.provenance(path)
    json.dumps(facts)
    budget = facts["budget"]
    assert facts["weights"] == "ema"
    assert (budget["images_seen"], budget["batch_size"], facts["steps"]) == (32, 8, 4)
    assert (budget["seed"], budget["precision"]) == (0, "32-true")
    assert (budget["optimizer"], budget["learning_rate"]) == ("AdamW", 2e-4)
    assert budget["lr_scheduler"] == "warmup(num_steps=5)"
    assert (budget["ema"], budget["gradient_clip"]) == ("decay 0.9999", 1.0)
    assert len(budget["data_fingerprint"]) == 64
    assert facts["data"]["train_images"] == 1437
    assert facts["training_seconds"] > 0
    assert [step for step, _ in facts["history"]] == [2, 4]


def test_without_averages_the_raw_weights_are_saved_and_called_so(config, tmp_path):
    path = train(config(tmp_path, "trainer.max_steps=2", "recipe.ema=null"))
    assert checkpoint.provenance(path)["weights"] == "raw"
    raw = state(tmp_path)["state_dict"]
    assert_equal(dict(zoo.load(path).state_dict()), dict(raw))


def test_an_earlier_run_is_moved_aside_and_a_resumed_one_is_not(config, tmp_path):
    run_dir = tmp_path / "run"
    first = train(config(run_dir, "trainer.max_steps=2")).read_bytes()
    train(config(run_dir, "trainer.max_steps=2", "seed=1"))
    train(config(run_dir, "trainer.max_steps=4", "seed=1", "ckpt_path=last"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run.1"]
    assert (tmp_path / "run.1" / "model.safetensors").read_bytes() == first


def test_two_seeds_differ_and_one_seed_repeats(config, tmp_path):
    paths = [
        train(config(tmp_path / str(n), "trainer.max_steps=2", f"seed={seed}"))
        for n, seed in enumerate((0, 0, 1))
    ]
    one, again, other = (next(iter(zoo.load(path).parameters())) for path in paths)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("overrides", "name", "sampler"),
    [
        ([], "DPMSolver2", DPMSolver(2)),
        (
            [
                "sampler@callbacks.sample_grid.sampler=ddim",
                "callbacks.sample_grid.sampler.num_steps=3",
            ],
            "DDIM3",
            DDIM(3),
        ),
        (["callbacks.sample_grid.sampler=null"], "Ancestral2", None),  # the model's own
    ],
)
def test_the_grid_is_a_quick_picture_of_the_final_model(config, tmp_path, overrides, name, sampler):
    path = train(config(tmp_path, "trainer.max_steps=2", *overrides))
    with Image.open(tmp_path / "samples" / f"step_00000002_{name}.png") as picture:
        shown = torch.from_numpy(np.asarray(picture).copy())
    expected = image_grid(zoo.load(path).generate(4, seed=0, sampler=sampler))
    assert torch.equal(shown.permute(2, 0, 1), expected)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=improved_ddpm"],
        ["schedule=zero_terminal_snr", "parameterization=velocity"],
        ["schedule=cosine", "schedule.num_timesteps=4", "parameterization=x0"],
    ],
)
def test_the_default_grid_goes_with_every_schedule(config, tmp_path, overrides):
    steps = "callbacks.sample_grid.sampler.num_steps=20"
    train(config(tmp_path, *overrides, "trainer.max_steps=1", steps))
    assert (tmp_path / "samples" / "step_00000001_DPMSolver20.png").exists()


def test_a_grid_that_cannot_be_drawn_is_refused_before_the_first_step(config, tmp_path):
    ancestral = ["sampler@callbacks.sample_grid.sampler=ancestral", "schedule=cosine"]
    cfg = config(
        tmp_path, *ancestral, "callbacks.sample_grid.sampler.num_steps=9",
        "schedule.num_timesteps=4", "trainer.max_steps=4",
    )  # fmt: skip
    with pytest.raises(ValueError, match="trailing"):
        train(cfg)
    assert not (tmp_path / "last.ckpt").exists()


def test_the_weights_are_there_before_the_last_grid_and_ctrl_c_in_it_loses_nothing(
    config, tmp_path, monkeypatch, capsys
):
    drawn = []

    def interrupted(self, trainer, module):
        drawn.append(sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".csv"))
        raise KeyboardInterrupt

    monkeypatch.setattr(SampleGrid, "draw", interrupted)
    with pytest.raises(SystemExit) as left:
        train(config(tmp_path, "trainer.max_steps=2", "callbacks.sample_grid.every_n_steps=2"))
    assert left.value.code == 130
    assert drawn == [["config.yaml", "last.ckpt", "model.safetensors"]]
    said = capsys.readouterr().err
    assert f"{tmp_path / 'model.safetensors'} is whole, only pictures are missing" in said
    assert state(tmp_path)["global_step"] == 2
    assert zoo.load(tmp_path / "model.safetensors").generate(1).shape == (1, 1, 16, 16)


def test_the_state_of_a_step_is_written_before_its_grid_which_has_that_steps_averages(
    config, tmp_path, monkeypatch
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


def test_a_state_is_written_where_another_callback_ends_the_training(config, tmp_path, monkeypatch):
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


@pytest.mark.parametrize(("steps", "interval"), [(3, 100), (4, 2), (5, 2)])
def test_the_last_step_is_validated_once(config, tmp_path, monkeypatch, steps, interval):
    validated = []
    epoch_end = DDPM.on_validation_epoch_end
    monkeypatch.setattr(
        DDPM,
        "on_validation_epoch_end",
        lambda self: (validated.append(self.global_step), epoch_end(self)),
    )
    train(
        config(tmp_path, f"trainer.max_steps={steps}", "trainer.limit_val_batches=1",
               f"trainer.val_check_interval={interval}", "callbacks.sample_grid=null")
    )  # fmt: skip
    assert validated == [*range(interval, steps, interval), steps]


def test_a_finished_run_that_lacks_its_file_gets_it_by_resuming(config, tmp_path):
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


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["ckpt_path=last"], r"there is no .*last\.ckpt to resume from"),
        (["ckpt_path=/nowhere/x.ckpt"], r"there is no /nowhere/x\.ckpt"),
        (["ckpt_path=pyproject.toml"], "is no training state, or it is torn"),
        (["sampler.num_steps=2000"], "at most 1000 steps, got 2000"),
        (["model=latent_diffusion"], "a latent model needs an autoencoder: train one with"),
        (["model=latent_diffusion", "autoencoder=/nowhere"], "/nowhere: no such file"),
        (["model.image_shape=[1,32,32]"], r"images \(1, 32, 32\), digits has \(1, 16, 16\)"),
        (["conditioner=class_label", "data.condition=none"], "set data.condition=label"),
        (
            ["conditioner=class_label", "conditioner.num_classes=7"],
            "set conditioner.num_classes=10",
        ),
        (["trainer.accelerator=gpu"], "use auto or cpu"),
        (["callbacks.sample_grid.every_n_steps=0"], "every_n_steps"),
        (["recipe.ema.decay=1.0"], r"EMA decay must be in \[0, 1\)"),
        (["schedule=zero_terminal_snr"], "Epsilon cannot be read .* use parameterization=velocity"),
        (["objective=min_snr", "variance=learned"], "gives a learned variance no gradient"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    config, tmp_path, overrides, message
):
    if "gpu" in overrides[0] and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    run_dir = tmp_path / "run"
    with pytest.raises(Exception, match=message):
        train(config(run_dir, "trainer.max_steps=1", *overrides))
    assert not run_dir.exists()


@pytest.mark.parametrize(
    "overrides",
    [
        ["schedule=zero_terminal_snr", "parameterization=velocity", "objective=min_snr"],
        ["schedule=quad", "parameterization=x0", "objective=simple_l1"],
    ],
)
def test_other_schedules_and_objectives_train_and_generate(config, tmp_path, overrides):
    module = zoo.load(train(config(tmp_path, "trainer.max_steps=2", *overrides)))
    assert module.generate(2).float().std() > 0
    assert module.bits_per_dim(torch.zeros(1, 1, 16, 16), num_steps=3).isfinite().all()


def test_a_loss_that_is_no_number_stops_the_training_and_spares_the_state(
    config, tmp_path, monkeypatch
):
    every = "callbacks.training_state.every_n_steps=2"
    step = DDPM.training_step

    def broken(self, batch, batch_idx):
        outputs = step(self, batch, batch_idx)
        return {**outputs, "loss": outputs["loss"] * (float("nan") if batch_idx == 3 else 1.0)}

    monkeypatch.setattr(DDPM, "training_step", broken)
    with pytest.raises(ValueError, match=r"the loss is nan at step 4: lower recipe\.optimizer\.lr"):
        train(config(tmp_path, "trainer.max_steps=8", every))
    assert state(tmp_path)["global_step"] == 2


def test_channels_last_and_compile_change_nothing_that_is_saved(config, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: compiled.append(type(self)))
    plain = train(config(tmp_path / "a", "trainer.max_steps=1"))
    other = train(
        config(tmp_path / "b", "trainer.max_steps=1", "channels_last=true", "compile=true")
    )
    assert [kind.__name__ for kind in compiled] == ["UNet"]
    assert checkpoint.config(plain) == checkpoint.config(other)
    for (name, a), (other_name, b) in zip(
        zoo.load(plain).state_dict().items(), zoo.load(other).state_dict().items(), strict=True
    ):
        assert name == other_name
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("recipe.optimizer.lr=0.5", "recipe.optimizer.lr was 0.0002, now 0.5"),
        ("schedule=cosine", "model.diffusion.schedule"),
        ("parameterization=velocity", "model.diffusion.parameterization"),
        ("model.denoiser.channels=64", "model.denoiser.channels was 32, now 64"),
        ("trainer.gradient_clip_val=null", "trainer.gradient_clip_val was 1.0, now None"),
    ],
)
def test_a_run_is_not_resumed_under_other_settings(config, tmp_path, change, said):
    run_dir = tmp_path / "run"
    train(config(run_dir, "trainer.max_steps=1", "callbacks.sample_grid=null"))
    before = (run_dir / "config.yaml").read_bytes(), (run_dir / "last.ckpt").read_bytes()
    with pytest.raises(ValueError, match=f"cannot be resumed: {said}"):
        train(config(run_dir, "trainer.max_steps=2", "ckpt_path=last", change))
    assert ((run_dir / "config.yaml").read_bytes(), (run_dir / "last.ckpt").read_bytes()) == before
