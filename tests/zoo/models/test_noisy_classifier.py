from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import zoo
from zoo.classifier import EncoderUNet
from zoo.diffusion.time_sampler import quartile
from zoo.first_stage import KLAutoencoder
from zoo.models.noisy_classifier import NoisyClassifier
from zoo.recipe import Recipe
from zoo.records import Batch
from zoo.schedule import Cosine, Linear
from zoo.training.train import train

TINY = [
    "model=noisy_classifier",
    "model.network.channels=8",
    "model.network.channel_mult=[1,2]",
    "model.network.num_res_blocks=1",
    "model.network.attention_at=[2]",
    "model.network.head_channels=8",
    "model.network.norm_groups=4",
]


def network(channels=1, size=8) -> EncoderUNet:
    return EncoderUNet(
        channels, 4, size, channels=8, channel_mult=(1, 2), num_res_blocks=1, attention_at=(2,),
        head_channels=8, norm_groups=4,
    )  # fmt: skip


def small(first_stage=None, schedule=None) -> NoisyClassifier:
    torch.manual_seed(0)
    inside = network() if first_stage is None else network(2, 4)
    recipe = Recipe(functools.partial(torch.optim.AdamW, lr=2e-3))
    return NoisyClassifier(inside, schedule or Cosine(), (1, 8, 8), first_stage, recipe=recipe)


def batch(count=8) -> Batch:
    images = torch.rand(count, 1, 8, 8, generator=torch.manual_seed(1)) * 2 - 1
    return Batch(images, torch.arange(count) % 4)


def test_the_loss_is_the_cross_entropy_of_noised_images() -> None:
    module, given = small().eval(), batch()
    t = (module.draw(8, "time").uniform() * 1000).floor() + 1
    level = module.schedule(t)
    noise = module.draw(8, "noise").normal(given.images)
    alpha, sigma = (v.float()[:, None, None, None] for v in (level.alpha, level.sigma))
    logits = module.network(alpha * given.images + sigma * noise, (t - 1).float())
    outputs = module.training_step(given, 0)
    torch.testing.assert_close(outputs["loss"], F.cross_entropy(logits, given.condition))
    torch.testing.assert_close(outputs["loss"], outputs["loss_per_image"].mean())
    assert torch.equal(outputs["t"], t)


def test_accuracy_is_logged_overall_and_by_quartile(monkeypatch) -> None:
    module, seen = small().eval(), {}

    def log(means, size):
        seen.update({name: (value, size) for name, value in means.items()})

    monkeypatch.setattr(module, "log_validation", log)
    with torch.no_grad():
        module.validation_step(batch(), 0)
    quartiles = [seen[f"validation/accuracy_q{q}"] for q in (1, 2, 3, 4)]
    assert sum(size for _, size in quartiles) == 8
    overall = sum(float(value) * size for value, size in quartiles if size) / 8
    assert float(seen["validation/accuracy"][0]) == pytest.approx(overall)
    assert seen["validation/loss"][1] == 8
    before = dict(seen)
    with torch.no_grad():
        module.validation_step(batch(), 0)
    assert {k: str(v) for k, v in seen.items()} == {k: str(v) for k, v in before.items()}  # or NaN


def test_gradient_is_that_of_the_log_probability_in_inference_mode_too() -> None:
    module, labels = small().eval().double(), torch.tensor([2, 0])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    x, level = torch.randn(2, 1, 8, 8, dtype=torch.float64), module.schedule(200.0)
    gradient = module.gradient(x, level, labels)
    step = 1e-5 * torch.randn(x.shape, dtype=torch.float64)
    up, down = (
        F.log_softmax(module(x + sign * step, level), 1).gather(1, labels[:, None]).sum()
        for sign in (1, -1)
    )
    torch.testing.assert_close(2 * (gradient * step).sum(), up - down, rtol=1e-5, atol=1e-12)
    with torch.inference_mode():
        inside = module.gradient(x.clone(), level, labels.clone())
    assert torch.equal(inside, gradient)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_latents_are_classified_in_the_frozen_autoencoders_space() -> None:
    autoencoder = KLAutoencoder(
        1, 2, channels=8, channel_mult=(1, 1), num_res_blocks=1, norm_groups=4
    )
    module = small(autoencoder)
    assert module.latent_shape == (2, 4, 4)
    module.train()
    assert not autoencoder.training and module.network.training
    module.training_step(batch(), 0)["loss"].backward()
    assert all(parameter.grad is None for parameter in autoencoder.parameters())
    assert module.network.conv_in.weight.grad is not None


def test_it_learns_what_is_to_be_learned() -> None:
    module = small(schedule=Linear())
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    generator = torch.manual_seed(0)
    module.log = lambda *_, **__: None
    losses = []
    for step in range(40):
        labels = torch.randint(4, (32,), generator=generator)
        images = ((labels - 1.5) / 1.5)[:, None, None, None].expand(32, 1, 8, 8).contiguous()
        module.training_seed = step
        loss = module.training_step(Batch(images, labels), 0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.9 * sum(losses[:5]) / 5


def test_zoo_train_saves_what_zoo_load_reads(config, tmp_path) -> None:
    path = train(config(tmp_path, "trainer.max_steps=2", tiny=TINY))
    module = zoo.load(path)
    assert isinstance(module, zoo.NoisyClassifier)
    assert (module.num_classes, module.image_shape) == (10, [1, 16, 16])
    assert module.loaded_from == path
    assert zoo.checkpoint.provenance(path)["model"] == "NoisyClassifier"
    # the schedule that zoo train gives a ddpm by default
    assert isinstance(module.schedule, Linear)
    assert quartile(torch.tensor([1.0, 1000.0]), module.schedule.end).tolist() == [0, 3]


def test_data_without_labels_are_refused(config, tmp_path) -> None:
    for override, message in (
        ("data.condition=none", "data.condition=label"),
        ("model.network.num_classes=4", "10 classes but the classifier knows 4"),
    ):
        with pytest.raises(ValueError, match=message):
            train(config(tmp_path, "trainer.max_steps=1", override, tiny=TINY))


def test_networks_for_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="network.in_channels=3"):
        NoisyClassifier(network(), Linear(), (3, 8, 8))
    with pytest.raises(ValueError, match="network.image_size=16"):
        NoisyClassifier(network(), Linear(), (1, 16, 16))
    with pytest.raises(ValueError, match="at least 2 classes"):
        NoisyClassifier(nn.Identity(), Linear(), (1, 8, 8))
