import json

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import checkpoint
from zoo.models.ddpm import DDPM
from zoo.sampler import DDIM, DPMSolver
from zoo.system.picture import image_grid
from zoo.training.train import train


def test_a_run_folder_holds_all_of_a_run(config, tmp_path, rows):
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
        "starts.jsonl",
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


def test_the_file_has_averaged_weights_and_says_where_they_come_from(config, tmp_path, state):
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
    budget, cost = facts["budget"], facts["cost"]
    assert cost["parameters"] == sum(p.numel() for p in loaded.values())
    assert cost["flops_per_image"] > 6 * cost["parameters"]
    assert cost["images_per_second"] > 0
    assert cost["flop_utilisation"] > 0  # of a peak that a busy machine measures too low
    assert "measured" in cost["peak_is"]
    assert cost["peak_memory_bytes"] > 2**20
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


def test_without_averages_the_raw_weights_are_saved_and_called_so(
    config, tmp_path, state, assert_equal
):
    path = train(config(tmp_path, "trainer.max_steps=2", "recipe.ema=null"))
    assert checkpoint.provenance(path)["weights"] == "raw"
    raw = state(tmp_path)["state_dict"]
    assert_equal(dict(zoo.load(path).state_dict()), dict(raw))


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
        (["recipe.ema.decay=1.0"], r"recipe\.ema\.decay=1\.0: expected .* below 1"),
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
