from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning import LightningDataModule, Trainer
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl
from torch.utils.data import DataLoader

from zoo.callbacks.ema import EMA
from zoo.checkpoint import load, save
from zoo.data.image_set import ImageSet
from zoo.data.stream import TrainStream, to_float
from zoo.draw import Draw
from zoo.first_stage import KLAutoencoder, VQAutoencoder
from zoo.first_stage.autoencoder import kl_divergence
from zoo.first_stage.autoencoder_loss import KLAdversarialLoss, VQAdversarialLoss
from zoo.first_stage.discriminator import PatchDiscriminator
from zoo.first_stage.perceptual import LPIPS
from zoo.models.autoencoder import Autoencoder, peak_signal_to_noise
from zoo.part import config_of
from zoo.recipe import Recipe, warmup
from zoo.records import Batch

# What Lightning says of itself and of its dependencies.
LIGHTNING = pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step`", "ignore:.*many workers", "ignore:.*LeafSpec"
)


def images(count: int = 12) -> torch.Tensor:
    """Bright and dark halves at random places, uint8."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(2, 7, (count, 1, 1, 1), generator=generator)
    noise = torch.randint(0, 30, (count, 1, 8, 8), generator=generator)
    return (torch.where(torch.arange(8).view(1, 1, 8, 1) < rows, 200, 20) + noise).to(torch.uint8)


def autoencoder(**changes: object) -> Autoencoder:
    torch.manual_seed(0)
    first_stage = KLAutoencoder(1, 2, 8, (1, 2), 1, mid_attention=False, norm_groups=4)
    return Autoencoder(first_stage, **changes)


def loader(parts: tuple[torch.Tensor, ...]) -> DataLoader:
    return DataLoader([Batch(part) for part in parts], batch_size=None)  # type: ignore[arg-type]


class Data(LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.train = ImageSet(images(300))  # more than are measured at once

    def train_dataloader(self) -> TrainStream:
        return TrainStream(self.train, "none", batch_size=16, seed=0)


def test_kl_and_psnr_are_their_definitions() -> None:
    moments = torch.randn(3, 4, 2, 2)
    mean, log_variance = moments.chunk(2, dim=1)
    posterior = Normal(mean, (log_variance / 2).exp())
    expected = reference_kl(posterior, Normal(0.0, 1.0)).sum((1, 2, 3))
    torch.testing.assert_close(kl_divergence(moments), expected)
    # An error of 1/10 of the range is 20 dB, whatever the range.
    psnr = peak_signal_to_noise(torch.tensor([0.2, 0.0]).view(2, 1, 1, 1), torch.zeros(2, 1, 1, 1))
    torch.testing.assert_close(psnr, torch.tensor([20.0, 100.0]))


def test_the_loss_is_ldms_divided_by_the_number_of_values() -> None:
    module = autoencoder(kl_weight=0.5)
    first_stage, batch = module.first_stage, Batch(to_float(images(3)))
    loss = module.training_step(batch, 0)["loss"]
    moments = first_stage.moments(batch.images)
    latents = first_stage.draw(moments, Draw(0, range(3), "train/posterior"))
    error = (first_stage.decode(latents) - batch.images).abs().sum((1, 2, 3))
    expected = (error + 0.5 * kl_divergence(moments)).mean() / 64
    torch.testing.assert_close(loss, expected)


def test_a_vq_autoencoder_trains_on_its_codebooks_loss() -> None:
    first_stage = VQAutoencoder(
        1, 2, 8, (1, 2), 1, mid_attention=False, norm_groups=4, num_codes=12
    )
    module, batch = Autoencoder(first_stage, codebook_weight=0.5), Batch(to_float(images(3)))
    loss = module.training_step(batch, 0)["loss"]
    assert batch.images is not None
    quantized = first_stage.quantize(batch.images)
    error = (first_stage.decode_indices(quantized.indices) - batch.images).abs().mean()
    torch.testing.assert_close(loss, error + 0.5 * quantized.loss)
    module.measure_latents([batch.images])
    before = first_stage.draw(first_stage.moments(batch.images)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(before.std(1, correction=0), torch.ones(2))


def test_the_reconstruction_loss_can_be_exchanged_and_is_not_saved() -> None:
    module = autoencoder(kl_weight=0.0, reconstruction_loss=torch.nn.MSELoss())
    batch = Batch(to_float(images(3)))
    squared = module.training_step(batch, 0)["loss"]
    module.reconstruction_loss = torch.nn.L1Loss()
    assert abs(float((squared - module.training_step(batch, 0)["loss"]).detach())) > 1e-3
    assert set(config_of(module)) == {"_target_", "first_stage", "kl_weight"}
    again = copy.deepcopy(module)
    assert torch.equal(again.reconstruct(batch.images), module.reconstruct(batch.images))


def test_measured_latents_have_no_mean_and_unit_deviation() -> None:
    module = autoencoder()
    pixels = to_float(images(64))
    before = module.first_stage.draw(module.first_stage.moments(pixels)).detach().double()
    mean, _ = module.measure_latents(pixels.split(10))
    torch.testing.assert_close(mean, before.mean((0, 2, 3)), rtol=1e-5, atol=1e-6)
    moments = module.first_stage.moments(pixels).detach()
    draws = torch.stack(
        [module.first_stage.draw(moments, Draw(seed, range(64), "p")) for seed in range(40)]
    )
    torch.testing.assert_close(draws.mean((0, 1, 3, 4)), torch.zeros(2), rtol=0, atol=0.02)
    torch.testing.assert_close(draws.std((0, 1, 3, 4)), torch.ones(2), rtol=0.02, atol=0)
    # ... and the images are what they were.
    torch.testing.assert_close(
        module.first_stage.decode(module.first_stage.draw(moments)),
        module.first_stage.reconstruction(module.first_stage.posterior(moments)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_measuring_refuses_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match="no training images"):
        autoencoder().measure_latents([])


def test_refuses_a_batch_without_images() -> None:
    with pytest.raises(ValueError, match="moments only"):
        autoencoder().training_step(Batch(None, moments=torch.zeros(1, 4, 4, 4)), 0)


@LIGHTNING
@pytest.mark.parametrize("with_datamodule", [True, False])
def test_a_fit_learns_and_ends_with_the_averaged_weights_measured(
    tmp_path: Path, with_datamodule: bool
) -> None:
    ema = EMA(decay=0.9)
    optimizer = partial(torch.optim.AdamW, lr=3e-3)
    module = autoencoder(recipe=Recipe(optimizer, ema=ema))
    data = Data()
    pixels = to_float(data.train.images)
    before = peak_signal_to_noise(module.reconstruct(pixels), pixels).mean()
    trainer = Trainer(
        accelerator="cpu",
        max_steps=60,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    if with_datamodule:
        trainer.fit(module, datamodule=data)
    else:
        trainer.fit(module, train_dataloaders=loader(pixels.split(16)))
    with ema.applied(module):
        after = peak_signal_to_noise(module.reconstruct(pixels), pixels).mean()
        assert after > before + 5
        fitted = {name: value.clone() for name, value in module.named_buffers()}
        module.measure_latents([pixels])
        for name, value in module.named_buffers():
            torch.testing.assert_close(value, fitted[name])
    assert not torch.allclose(fitted["first_stage.scale"], torch.ones(1, 2, 1, 1))


def against(kind: str = "kl", start: int = 2) -> Autoencoder:
    torch.manual_seed(0)
    sizes = (1, 2, 8, (1, 2), 1)
    first_stage: KLAutoencoder | VQAutoencoder
    if kind == "kl":
        first_stage = KLAutoencoder(*sizes, mid_attention=False, norm_groups=4)
        loss = KLAdversarialLoss(LPIPS(2), PatchDiscriminator(1, 4, 1), start)
    else:
        first_stage = VQAutoencoder(*sizes, mid_attention=False, norm_groups=4, num_codes=12)
        loss = VQAdversarialLoss(LPIPS(2), PatchDiscriminator(1, 4, 1), start)
    recipe = Recipe(
        partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.9)), partial(warmup, num_steps=3)
    )
    return Autoencoder(first_stage, recipe, loss=loss, normalize_latents=False)


def fitted(module: Autoencoder, folder: Path, steps: int, resume: bool = False) -> Trainer:
    class Large(LightningDataModule):  # 32 pixels: VGG16 halves them four times
        def train_dataloader(self) -> TrainStream:
            large = images(40).repeat_interleave(4, 2).repeat_interleave(4, 3)
            done = self.trainer.fit_loop.epoch_loop.batch_progress.total.processed
            return TrainStream(ImageSet(large), "none", 8, 0, start_step=lambda: done)

    trainer = Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, enable_checkpointing=False,
    )  # fmt: skip
    path = folder / "last.ckpt"
    trainer.fit(module, Large(), ckpt_path=path if resume else None, weights_only=True)
    trainer.save_checkpoint(path)
    return trainer


@LIGHTNING
@pytest.mark.parametrize("kind", ["kl", "vq"])
def test_a_training_against_a_discriminator_resumes_bit_for_bit(tmp_path: Path, kind: str) -> None:
    whole, broken = against(kind), against(kind)
    trainer = fitted(whole, tmp_path / "whole", 5)
    assert trainer.global_step == 5  # a batch is a step, whatever it trains
    steps = [int(o.state[o.param_groups[0]["params"][0]]["step"]) for o in trainer.optimizers]
    assert steps == [5, 3]  # the discriminator began at the third batch
    fitted(broken, tmp_path / "broken", 4)
    again = against(kind)
    resumed = fitted(again, tmp_path / "broken", 5, resume=True)
    assert resumed.global_step == 5
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    for one, other in zip(trainer.optimizers, resumed.optimizers, strict=True):
        assert one.param_groups[0]["lr"] == other.param_groups[0]["lr"] == 1e-3
    changed = {
        n
        for n, v in against(kind).state_dict().items()
        if not torch.equal(v, whole.state_dict()[n])
    }
    assert any(n.startswith("loss.discriminator") for n in changed)
    assert not any(n.startswith("loss.perceptual") for n in changed)
    assert "loss.log_variance" not in changed  # in no optimizer, as published
    assert whole.first_stage.scale.eq(1).all()  # latents are left as they are


@LIGHTNING
def test_before_its_start_the_discriminator_changes_nothing(tmp_path: Path) -> None:
    heard, unheard = against(start=2), against(start=100)
    fitted(heard, tmp_path / "heard", 2)
    fitted(unheard, tmp_path / "unheard", 2)
    for name, value in heard.state_dict().items():
        assert torch.equal(unheard.state_dict()[name], value), name
    fitted(heard, tmp_path / "heard", 3, resume=True)
    fitted(unheard, tmp_path / "unheard", 3, resume=True)
    weight = "first_stage.decoder.conv_out.weight"
    assert not torch.equal(heard.state_dict()[weight], unheard.state_dict()[weight])


def test_a_saved_file_has_no_discriminator(tmp_path: Path) -> None:
    module = against()
    loaded = load(save(module, tmp_path / "ae.safetensors"))
    assert set(config_of(module)) == {"_target_", "first_stage", "kl_weight"}
    assert loaded.loss is None and not any("loss" in name for name in loaded.state_dict())
    pixels = to_float(images(2))
    assert torch.equal(loaded.reconstruct(pixels), module.eval().reconstruct(pixels))


def test_a_loss_for_another_kind_is_refused() -> None:
    loss = VQAdversarialLoss(LPIPS(2), PatchDiscriminator(1, 4, 1))
    with pytest.raises(ValueError, match="VQAdversarialLoss is for autoencoders with a codebook"):
        autoencoder(loss=loss)


@LIGHTNING
def test_validation_logs_the_error_of_the_mean_reconstruction(tmp_path: Path) -> None:
    module = autoencoder(recipe=Recipe(torch.optim.AdamW))
    pixels = to_float(images(8))
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    (values,) = trainer.validate(module, loader(pixels.split(4)), verbose=False)
    reconstruction = module.eval().reconstruct(pixels).detach()
    expected = peak_signal_to_noise(reconstruction, pixels).mean()
    assert values["validation/psnr"] == pytest.approx(float(expected), rel=1e-5)
    error = (reconstruction - pixels).abs().mean()
    assert values["validation/loss"] == pytest.approx(float(error), rel=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("", KLAutoencoder), ("vq_", VQAutoencoder)])
def test_the_config_composes_for_every_data_set(name: str, kind: type) -> None:
    from omegaconf import OmegaConf

    from zoo.checkpoint.build import build
    from zoo.entry import compose

    for data, channels, size in (("digits", 1, 16), ("cifar10", 3, 32)):
        config = compose("train", [f"model={name}autoencoder", f"data={data}"])
        module = build(OmegaConf.to_container(config.model, resolve=True))
        assert isinstance(module.first_stage, kind)
        assert module.first_stage.latent_shape((channels, size, size)) == (4, size // 2, size // 2)
        assert sum(p.numel() for p in module.parameters()) < 400_000
