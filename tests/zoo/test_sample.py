import json

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.command.sample import sample
from zoo.data import Folder
from zoo.entry import compose
from zoo.sampler import DDIM, Heun
from zoo.system.picture import image_grid
from zoo.training.train import train

AUTOENCODER = [
    "model=autoencoder",
    "model.first_stage.channels=8",
    "model.first_stage.channel_mult=[1,2]",
    "model.first_stage.num_res_blocks=1",
]
LATENT = [
    "model=guided_latent_diffusion",
    "model.denoiser.channels=32",
    "model.denoiser.channel_mult=[1]",
    "model.denoiser.num_res_blocks=1",
    "model.denoiser.attention_at=[1]",
    "denoiser_inputs.context_dim=16",
    "sampler.num_steps=3",
]


@pytest.fixture
def checkpoint(config, tmp_path):
    return train(config(tmp_path / "run", "trainer.max_steps=1", "callbacks.sample_grid=null"))


@pytest.fixture
def latent(config, tmp_path):
    """A guided latent model with the autoencoder inside."""
    none = ["trainer.max_steps=2", "callbacks.sample_grid.num_images=2"]
    first = train(config(tmp_path / "autoencoder", *none, tiny=AUTOENCODER))
    return train(config(tmp_path / "latent", *none, f"autoencoder={first}", tiny=LATENT))


def draw(checkpoint, *overrides):
    return sample(compose("sample", [f"checkpoint={checkpoint}", *overrides]))


def test_a_grid_of_the_models_own_sampler(checkpoint, tmp_path):
    path = draw(checkpoint, "num_images=5", "seed=3", "batch_size=2", f"out={tmp_path}/a/b.png")
    with Image.open(path) as picture:
        shown = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)
    assert torch.equal(shown, image_grid(zoo.load(checkpoint).generate(5, seed=3)))


def test_an_array_and_a_folder_hold_every_image(checkpoint, tmp_path):
    images = zoo.load(checkpoint).generate(3, seed=0)
    array = np.load(draw(checkpoint, "num_images=3", f"out={tmp_path}/x.npz"))["arr_0"]
    assert (array.shape, array.dtype) == ((3, 16, 16, 1), np.uint8)
    assert np.array_equal(array, images.permute(0, 2, 3, 1))
    folder = draw(checkpoint, "num_images=3", f"out={tmp_path}/folder")
    names = [f"{index:06}.png" for index in range(3)]
    assert sorted(p.name for p in folder.iterdir()) == [*names, "metadata.csv", "samples.json"]
    for index, expected in enumerate(images):
        with Image.open(folder / f"{index:06}.png") as picture:
            assert np.array_equal(np.asarray(picture), expected[0])


@pytest.mark.parametrize(
    ("overrides", "sampler"),
    [
        (["sampler.num_steps=4"], None),
        (["sampler=ddim", "sampler.num_steps=4", "sampler.eta=0.5"], DDIM(4, eta=0.5)),
        (["sampler=heun", "sampler.num_steps=3"], Heun(3)),
    ],
)
def test_another_sampler_or_other_steps_of_the_models_own(checkpoint, tmp_path, overrides, sampler):
    module = zoo.load(checkpoint)
    if sampler is None:
        module.sampler.num_steps = 4
    out = draw(checkpoint, "num_images=2", *overrides, f"out={tmp_path}/x.npz")
    expected = module.generate(2, sampler=sampler, seed=0).permute(0, 2, 3, 1)
    assert np.array_equal(np.load(out)["arr_0"], expected)


def test_guidance_and_conditions_of_a_latent_model(latent, tmp_path):
    module = zoo.load(latent)
    module.guidance.scale = 3.0
    out = draw(
        latent, "num_images=4", "condition=[7,1]", "guidance.scale=3", f"out={tmp_path}/x.npz"
    )
    expected = module.generate(4, condition=torch.tensor([7, 1, 7, 1]), seed=0)
    assert np.array_equal(np.load(out)["arr_0"], expected.permute(0, 2, 3, 1))
    single = draw(
        latent, "num_images=2", "condition=7", "guidance=unguided", f"out={tmp_path}/y.npz"
    )
    module.guidance.scale = 1.0
    expected = module.generate(2, condition=torch.tensor([7, 7]), seed=0)
    assert np.array_equal(np.load(single)["arr_0"], expected.permute(0, 2, 3, 1))


def test_a_latent_model_carries_its_autoencoder_and_says_which(latent, tmp_path):
    first = tmp_path / "autoencoder" / "model.safetensors"
    facts = zoo.checkpoint.provenance(latent)["autoencoder"]
    assert facts["sha256"] == zoo.checkpoint.sha256(first)
    assert facts["provenance"]["budget"]["images_seen"] == 8
    assert "autoencoder" in facts["provenance"]["model"].lower()
    inside, outside = zoo.load(latent).first_stage, zoo.load(first).first_stage
    for name, value in outside.state_dict().items():
        assert torch.equal(inside.state_dict()[name], value)
    trained = torch.load(latent.parent / "last.ckpt", weights_only=True)["callbacks"]["EMA"]
    assert not any("first_stage" in name for name in trained["averages"])
    with Image.open(tmp_path / "autoencoder" / "samples" / "step_00000002.png") as picture:
        assert picture.size[0] > 1


def test_without_out_files_lie_in_runs_and_never_over_earlier_ones(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    paths = [draw(checkpoint, "num_images=1", f"seed={seed}") for seed in (0, 0, 4)]
    names = ["run-seed0.png", "run-seed0-2.png", "run-seed4.png"]  # the run's folder is "run"
    assert [str(path) for path in paths] == [f"runs/samples/{name}" for name in names]
    files = {path.name for path in (tmp_path / "runs" / "samples").iterdir()}
    assert files == {*names, *(f"{name}.json" for name in names)}


def test_the_sidecar_says_how_every_image_was_made(latent, tmp_path):
    out = draw(
        latent, "num_images=3", "seed=5", "batch_size=2", "guidance.scale=3", "sampler=heun",
        "sampler.num_steps=2", "negative=[4,2]", f"out={tmp_path}/x.npz",
    )  # fmt: skip
    facts = json.loads((tmp_path / "x.npz.json").read_text())
    assert facts["checkpoint"] == {
        "file": str(latent),
        "sha256": zoo.checkpoint.sha256(latent),
        "model": "GuidedLatentDiffusion",
    }
    assert facts["sampler"]["_target_"] == "zoo.sampler.heun.Heun"
    assert (facts["sampler"]["num_steps"], facts["evaluations"]) == (2, 3)
    assert facts["guidance"]["scale"] == 3.0
    assert {"command", "time", "git_commit", "versions", "device", "precision"} <= facts.keys()
    assert [row["negative"] for row in facts["images"]] == [4, 2, 4]
    assert [(row["index"], row["seed"]) for row in facts["images"]] == [(0, 5), (1, 5), (2, 5)]
    labels = torch.tensor([row["label"] for row in facts["images"]])  # drawn, as none were named
    again = zoo.load(latent)
    again.guidance.scale = 3.0
    images = again.generate(
        3, labels, Heun(2), seed=5, negative=torch.tensor([4, 2, 4]), batch_size=2
    )
    with np.load(out) as arrays:
        assert np.array_equal(arrays["arr_0"], images.permute(0, 2, 3, 1))
        assert arrays["arr_1"].tolist() == labels.tolist()
    unnamed = again.generate(3, None, Heun(2), seed=5, negative=torch.tensor([4, 2, 4]))
    assert torch.equal(unnamed, images)


def test_prompts_come_from_a_file_several_images_of_each(latent, tmp_path):
    (tmp_path / "p.txt").write_text("7\n\n1\n")
    (tmp_path / "n.txt").write_text("3\n4\n")
    prompts, negative = f"prompts={tmp_path}/p.txt", f"negative_prompts={tmp_path}/n.txt"
    folder = draw(latent, prompts, "images_per_prompt=2", negative, f"out={tmp_path}/folder")
    facts = json.loads((folder / "samples.json").read_text())
    assert [row["label"] for row in facts["images"]] == [7, 7, 1, 1]
    assert [row["negative"] for row in facts["images"]] == [3, 3, 4, 4]
    data = Folder(
        str(folder), label_column="label", name="x", image_size=16, channels=1, num_classes=8,
        test_fraction=0.5,
    )  # fmt: skip
    data.setup("fit")
    labels = torch.cat([data.train.labels, data.test.labels])
    assert sorted(labels.tolist()) == [1, 1, 7, 7]
    one = draw(latent, prompts, f"out={tmp_path}/x.png", f"negative_prompts={tmp_path}/n.txt")
    assert len(json.loads((tmp_path / "x.png.json").read_text())["images"]) == 2, one
    (tmp_path / "n.txt").write_text("3\n4\n5")
    with pytest.raises(ValueError, match="has 3 lines: one for all is possible, or one for each"):
        draw(latent, prompts, negative, f"out={tmp_path}/y.png")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["prompts=p.txt", "condition=3"], "condition=... and prompts=FILE: give only one"),
        (["negative_prompts=p.txt", "negative=3"], "give only one of them"),
        (["prompts=p.txt", "num_images=3"], "prompts=FILE says how many"),
        (["condition=3", "images_per_prompt=2"], "images_per_prompt=2 is for prompts=FILE"),
        (["prompts=p.txt"], "p.txt: there is no such file"),
        (["num_images=20000", "columns=1", "out=x.jpg"], "a side of a jpeg has at most 65500"),
        (["out=x.gif"], r"out=x.gif: files are \.png"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_drawn(
    checkpoint, tmp_path, monkeypatch, overrides, message
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("zoo.module.DiffusionModule.generate", None)
    with pytest.raises(ValueError, match=message):
        draw(checkpoint, *overrides)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["guidance.scale=2"], "the model's own guidance is Unguided, which takes nothing"),
        (["condition=3"], "this model has no class labels"),
        (["num_images=0"], "num_images=0: expected a whole number from 1"),
        (["device=gpu"], "finds no such device here"),
        (
            ["precision=16-mixed"],
            "precision=16-mixed: expected auto or 32-true or 32 or bf16-mixed",
        ),
    ],
)
def test_what_does_not_suit_the_model_is_refused(checkpoint, tmp_path, overrides, message):
    if "gpu" in overrides[0] and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ValueError, match=message):
        draw(checkpoint, *overrides, f"out={tmp_path}/x.png")
    assert not (tmp_path / "x.png").exists()


def test_labels_that_the_model_does_not_know_are_named(latent, tmp_path):
    with pytest.raises(ValueError, match=r"condition=\[10\]: labels of this model are 0 to 9"):
        draw(latent, "condition=[3,10]", f"out={tmp_path}/x.png")
    autoencoder = tmp_path / "autoencoder" / "model.safetensors"
    with pytest.raises(ValueError, match="holds a Autoencoder, which draws no images"):
        draw(autoencoder, f"out={tmp_path}/x.png")


def test_an_unknown_checkpoint_names_those_that_ship(tmp_path, monkeypatch, checkpoint):
    shipped = tmp_path / "shipped" / "digits"
    shipped.mkdir(parents=True)
    (shipped / "ddpm.safetensors").write_bytes(checkpoint.read_bytes())
    monkeypatch.setattr("zoo.paths.checkpoints", lambda: tmp_path / "shipped")
    with pytest.raises(
        ValueError, match=r"no checkpoint digits/nothing; those that ship are digits/ddpm"
    ):
        draw("digits/nothing")
    assert draw("digits/ddpm", "num_images=1", f"out={tmp_path}/x.png").exists()
