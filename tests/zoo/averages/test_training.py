"""``zoo train`` with several averages, ``zoo ema``, and the files that both write."""

import shutil

import pytest
import torch

import zoo
from zoo import checkpoint, entry
from zoo.averages.file import average_file
from zoo.averages.length import PowerFunction
from zoo.data.stream import to_float
from zoo.models.ddpm import DDPM
from zoo.training.averages import rebuild
from zoo.training.train import train

POWERS = ["recipe.ema.decay=[0.9,0.5]", "recipe.ema.sigma_rel=[0.05,0.1]"]
EVERY = ["callbacks.average_snapshots.every_n_steps=2", "callbacks.sample_grid=null"]
FLOAT32 = "callbacks.average_snapshots.dtype=float32"


def ema(run, *sigma_rel):
    text = "null" if not sigma_rel else f"[{','.join(map(str, sigma_rel))}]"
    return rebuild(entry.compose("ema", [f"run={run}", f"sigma_rel={text}"]))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def run(config, kept, tmp_path):
    """A copy of a training of 12 steps with four averages and six snapshots."""
    if not (kept / "run").exists():
        train(config(kept / "run", "trainer.max_steps=12", *POWERS, *EVERY, FLOAT32))
    shutil.copytree(kept / "run", tmp_path / "run")
    return tmp_path / "run"


def test_every_average_is_a_model_beside_the_main_one(run, state):
    averages = state(run)["callbacks"]["EMA"]
    assert averages["main"] == "0.9"
    every = {"0.9": averages["averages"], **averages["others"]}
    assert set(every) == {"0.9", "0.5", "0.05", "0.1"}
    for name, values in every.items():
        path = average_file(run, float(name))
        loaded = dict(zoo.load(path).named_parameters())
        assert all(torch.equal(loaded[key], value) for key, value in values.items())
        facts = checkpoint.provenance(path)
        assert facts["weights"] == "ema"
        assert facts["budget"]["ema"] == "decay 0.9"  # what the training's is compared by
        assert float(name) in facts["average"].values()
    assert average_file(run, None) == average_file(run, 0.9) == run / "model.safetensors"


def test_a_power_function_is_that_of_the_trajectory(config, tmp_path, monkeypatch, state):
    weights = []
    step = DDPM.on_train_batch_start

    def recorded(self, batch, batch_idx):
        weights.append(next(self.denoiser.parameters()).detach().double().clone())
        step(self, batch, batch_idx)

    monkeypatch.setattr(DDPM, "on_train_batch_start", recorded)
    train(config(tmp_path, "trainer.max_steps=6", *POWERS, *EVERY))
    saved = state(tmp_path)
    key = next(k for k in saved["state_dict"] if k.startswith("denoiser."))
    theta = torch.stack([*weights[1:], saved["state_dict"][key].double()])
    power = PowerFunction(0.1)._power
    edges = (torch.arange(7, dtype=torch.float64) / 6) ** power
    expected = torch.tensordot(edges.diff(), theta, 1)
    average = saved["callbacks"]["EMA"]["others"]["0.1"][key]
    torch.testing.assert_close(average, expected.float())


def test_a_rebuilt_average_is_a_model_that_says_how_well_it_fits(run, capsys):
    (path,) = ema(run, 0.12)
    said = capsys.readouterr().out
    assert "of 6 snapshots to step 12, profile matched within 2.15%" in said
    assert path == run / "model-ema-0.12.safetensors" == average_file(run, 0.12)
    facts = checkpoint.provenance(path)
    assert facts["average"]["sigma_rel"] == 0.12
    assert facts["average"]["snapshots"] == 6
    assert facts["average"]["mismatch"] == pytest.approx(0.0215, abs=5e-5)
    assert facts["steps"] == 12
    rebuilt, own = zoo.load(path), zoo.load(run)
    near = {0.1: zoo.load(average_file(run, 0.1)), 0.05: zoo.load(average_file(run, 0.05))}
    for (name, value), main in zip(rebuilt.named_parameters(), own.parameters(), strict=True):
        assert not torch.equal(value, main)
        distances = [(value - dict(n.named_parameters())[name]).norm() for n in near.values()]
        assert distances[0] < distances[1], name
    assert rebuilt.generate(1).shape == (1, 1, 16, 16)


def test_a_length_that_was_tracked_is_exact(run, capsys):
    before = (run / "model-ema-0.1.safetensors").read_bytes()
    assert ema(run, 0.1) == []
    assert "0.1 was tracked in the training" in capsys.readouterr().out
    assert (run / "model-ema-0.1.safetensors").read_bytes() == before
    tracked = zoo.load(run / "model-ema-0.1.safetensors").state_dict()
    (run / "model-ema-0.1.safetensors").unlink()
    (path,) = ema(run, 0.1)
    assert all(torch.equal(tracked[k], v) for k, v in zoo.load(path).state_dict().items())


def test_several_lengths_and_what_there_is(run, capsys):
    names = [path.name for path in ema(run, 0.08, 0.15, 0.2)]
    assert names == [f"model-ema-{s}.safetensors" for s in (0.08, 0.15, 0.2)]
    alone = (run / names[1]).read_bytes()[-1000:]
    ema(run, 0.15)
    assert (run / names[1]).read_bytes()[-1000:] == alone
    capsys.readouterr()
    assert ema(run) == []
    said = capsys.readouterr().out
    assert "decay 0.9: model.safetensors" in said
    assert "decay 0.5: model-ema-0.5" in said
    assert "sigma_rel 0.15, rebuilt, within " in said
    assert "6 to step 12 of sigma_rel 0.05, 0.1, " in said


@pytest.mark.parametrize(
    ("change", "sigma_rel", "message"),
    [
        ("", 0.3, "sigma_rel is above 0 and at most 0.2886"),
        ("", 0.5, "sigma_rel is above 0 and at most 0.2886"),
        ("no snapshots", 0.15, r"has no snapshots of its averages: train with recipe\.ema\.sig"),
        ("last one lost", 0.15, "is the last snapshot, but .* is of step 12"),
        ("of another run", 0.15, "step_00000004.* is of another training than this run's"),
        ("damaged", 0.15, "step_00000004.*damaged"),
        ("torn", 0.15, "step_00000004.*torn file"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused_and_nothing_is_written(
    config, run, tmp_path, change, sigma_rel, message
):
    snapshot = run / "averages" / "step_00000004.safetensors"
    if change == "no snapshots":
        shutil.rmtree(run / "averages")
    elif change == "last one lost":
        (run / "averages" / "step_00000012.safetensors").unlink()
    elif change == "of another run":
        more = ["trainer.max_steps=4", "recipe.optimizer.lr=0.01", FLOAT32]
        train(config(tmp_path / "b", *more, *POWERS, *EVERY))
        shutil.copy(tmp_path / "b" / "averages" / snapshot.name, snapshot)
    elif change:
        whole = bytearray(snapshot.read_bytes())
        whole[-9] ^= 1
        snapshot.write_bytes(whole if change == "damaged" else whole[:-1])
    before = sorted(run.iterdir())
    with pytest.raises(ValueError, match=message):
        ema(run, sigma_rel)
    assert sorted(run.iterdir()) == before


@pytest.mark.parametrize("state_every", [1, 3, 4])
def test_a_killed_training_leaves_the_snapshots_of_an_unbroken_one(
    config, run, tmp_path, monkeypatch, state_every, state, assert_equal
):
    every = f"callbacks.training_state.every_n_steps={state_every}"
    settings = ["trainer.max_steps=12", *POWERS, *EVERY, FLOAT32, every]
    parts, step = tmp_path / "parts", DDPM.training_step

    def killed(self, batch, batch_idx):
        if self.trainer.global_step == 9:
            raise ZeroDivisionError
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(DDPM, "training_step", killed)
        with pytest.raises(ZeroDivisionError):
            train(config(parts, *settings))
    assert (parts / "averages" / "step_00000008.safetensors").is_file()
    (parts / "averages" / ".step_00000010.safetensors.1.part").write_bytes(b"torn")
    train(config(parts, *settings, "ckpt_path=last"))
    whole = {file.name: file.read_bytes() for file in (run / "averages").iterdir()}
    assert {file.name: file.read_bytes() for file in (parts / "averages").iterdir()} == whole
    assert_equal(state(parts)["callbacks"]["EMA"], state(run)["callbacks"]["EMA"])


def test_a_longer_training_drops_the_snapshot_of_the_earlier_end(config, run, tmp_path):
    settings = [*POWERS, *EVERY, FLOAT32]
    parts = tmp_path / "parts"
    train(config(parts, "trainer.max_steps=7", *settings))
    names = [file.name for file in sorted((parts / "averages").iterdir())]
    assert names == [f"step_{step:08}.safetensors" for step in (2, 4, 6, 7)]
    (stale,) = ema(parts, 0.15)
    train(config(parts, "trainer.max_steps=12", "ckpt_path=last", *settings))
    whole = {file.name: file.read_bytes() for file in (run / "averages").iterdir()}
    assert {file.name: file.read_bytes() for file in (parts / "averages").iterdir()} == whole
    with pytest.raises(ValueError, match=r"is not of the training .*: steps is 7, not 12"):
        average_file(parts, 0.15)
    assert ema(parts, 0.15) == [stale]
    assert average_file(parts, 0.15) == stale


def test_a_new_training_moves_the_snapshots_of_the_old_one_aside(config, tmp_path):
    settings = ["trainer.max_steps=2", *POWERS, *EVERY]
    train(config(tmp_path / "run", *settings))
    for name in ("last.ckpt", "metrics.csv", "model.safetensors"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    train(config(tmp_path / "run", *settings, "seed=1"))
    assert len(list((tmp_path / "run.1" / "averages").iterdir())) == 1
    assert ema(tmp_path / "run", 0.15)


def test_without_power_functions_nothing_is_kept(config, tmp_path, capsys):
    train(config(tmp_path, "trainer.max_steps=2", *EVERY))
    assert not (tmp_path / "averages").exists()
    ema(tmp_path)
    assert "none: recipe.ema.sigma_rel=[0.05,0.1] takes them" in capsys.readouterr().out


def test_the_room_that_snapshots_take_is_said_before(config, tmp_path, capsys):
    train(config(tmp_path, "trainer.max_steps=5", *POWERS, *EVERY, "recipe.ema.decay=null"))
    said = capsys.readouterr().out.split("snapshots of the averages, ")[1].splitlines()[0]
    files = [file.stat().st_size for file in (tmp_path / "averages").iterdir()]
    assert len(files) == 3
    each = float(said.split()[0]) * {"KB": 1e3, "MB": 1e6}[said.split()[1]]
    assert each == pytest.approx(max(files), rel=0.1)
    assert "every 2 steps" in said
    assert said.endswith("for 5")


@pytest.mark.parametrize("checkpoint_name", ["digits/ddpm", "digits/autoencoder"])
def test_a_shipped_model_has_its_one_average(checkpoint_name):
    path = average_file(checkpoint_name, 0.999)
    assert path == average_file(checkpoint_name, None)
    with pytest.raises(ValueError, match=r"ema=0\.5: .* has the averages 0\.999 \(decay 0\.999\)$"):
        average_file(checkpoint_name, 0.5)


def test_an_average_that_is_missing_says_what_there_is(run):
    said = r"ema=0\.15: .* has the averages 0\.9 \(decay 0\.9\), 0\.05, 0\.1, 0\.5; `zoo ema run="
    with pytest.raises(ValueError, match=said):
        average_file(run, 0.15)
    with pytest.raises(ValueError, match=r"ema=0\.5: .*model-ema-0\.1\.safetensors has the"):
        average_file(run / "model-ema-0.1.safetensors", 0.5)


def test_an_autoencoder_measures_its_latents_with_each_average(config, digits, tmp_path):
    small = [
        "model=autoencoder",
        "model.first_stage.channels=8",
        "model.first_stage.num_res_blocks=1",
    ]
    settings = ["trainer.max_steps=4", "recipe.optimizer.lr=0.01", "recipe.ema.warmup=false"]
    train(config(tmp_path, *settings, *POWERS, *EVERY, tiny=small))
    ema(tmp_path, 0.2)
    scales = []
    for number in (0.9, 0.5, 0.2):
        module = zoo.load(average_file(tmp_path, number))
        scale = module.first_stage.scale.clone()
        module.measure_latents(to_float(digits[0].images).split(256))
        torch.testing.assert_close(module.first_stage.scale, scale, rtol=1e-4, atol=0)
        scales.append(scale)
    assert not torch.equal(scales[0], scales[1])
    assert not torch.equal(scales[1], scales[2])
