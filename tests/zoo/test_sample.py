import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.command.sample import sample
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
    assert sorted(p.name for p in folder.iterdir()) == ["grid.png", "images"]
    for index, expected in enumerate(images):
        with Image.open(folder / "images" / f"{index:06}.png") as picture:
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
