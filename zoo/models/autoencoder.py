"""Trains a first stage: images to latents and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from zoo.data.image_set import ImageSet
from zoo.data.stream import to_float
from zoo.first_stage.autoencoder_loss import AdversarialLoss
from zoo.first_stage.conv_autoencoder import ConvAutoencoder, TrainingPass
from zoo.first_stage.statistics import latent_statistics, latent_sums
from zoo.recipe import Recipe
from zoo.records import Batch
from zoo.trainable import Trainable, evaluation_mode

_PER_BATCH = 256  # images at once where the latents are measured


class Autoencoder(Trainable):
    """Latent diffusion's first stage in training: reconstruction and a little KL (LDM, appendix G).

    At the end of a fit the latents of the whole training set are measured, and the first stage is
    set to the shift and scale that give each channel zero mean and unit deviation.

    With a ``loss`` the autoencoder is trained as the published ones were, against a discriminator
    that has an optimizer of its own, made by the same recipe.

    Args:
        first_stage: the autoencoder.
        recipe: how to train.
        kl_weight: weight of a KL autoencoder's KL term. Both terms are sums over an image divided
            by its number of values, so that the weight means what LDM's (on plain sums) does.
        reconstruction_loss: of (reconstruction, images), a number; the mean absolute error if None.
        codebook_weight: weight of a VQ autoencoder's codebook and commitment loss.
        loss: in place of ``reconstruction_loss`` in training: perceptual and adversarial.
        normalize_latents: whether latents are measured at the end; LDM's published models leave
            them as they are.

    Raises:
        ValueError: the loss is for another kind of autoencoder.
    """

    takes_first_stage = True
    not_saved: ClassVar[tuple[str, ...]] = (
        "recipe", "reconstruction_loss", "codebook_weight", "loss", "normalize_latents",
    )  # fmt: skip

    def __init__(
        self,
        first_stage: ConvAutoencoder,
        recipe: Recipe | None = None,
        kl_weight: float = 1e-6,
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        codebook_weight: float = 1.0,
        loss: AdversarialLoss | None = None,
        normalize_latents: bool = True,
    ) -> None:
        super().__init__(recipe)
        if loss is not None and loss.penalty != first_stage.penalty:
            raise ValueError(
                f"{type(loss).__name__} is for autoencoders with a {loss.penalty} term, got "
                f"{type(first_stage).__name__}"
            )
        self.first_stage = first_stage
        self.kl_weight, self.codebook_weight = kl_weight, codebook_weight
        self.reconstruction_loss = reconstruction_loss or F.l1_loss
        self.loss, self.normalize_latents = loss, normalize_latents
        self.automatic_optimization = loss is None

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction of images (B, C, H, W) in [-1, 1]."""
        return self.reconstruct(images)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] through the mean of their latents and back, clipped."""
        moments = self.first_stage.moments(images)
        return self.first_stage.decode(self.first_stage.draw(moments)).clamp(-1.0, 1.0)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The loss on a batch, its latents drawn from their posterior."""
        images = _images_of(batch)
        if self.loss is not None:
            return self._adversarial_step(self.loss, images)
        result = self._pass(images, "posterior")
        penalties = dict(result.penalties)
        if "kl" in penalties:
            penalties["kl"] = penalties["kl"] / images[0].numel()
        error = self.reconstruction_loss(result.reconstruction.float(), images)
        loss = error + self._penalty(penalties)
        return _outputs(loss, {"reconstruction": error, **penalties, **result.figures})

    def _pass(self, images: Tensor, purpose: str) -> TrainingPass:
        return self.first_stage.training_pass(images, self.draw(len(images), purpose))

    def _penalty(self, penalties: dict[str, Tensor]) -> Tensor:
        weights = {"kl": self.kl_weight, "codebook": self.codebook_weight}
        return torch.stack([weights[name] * value for name, value in penalties.items()]).sum()

    # Against a discriminator

    def _adversarial_step(self, loss: AdversarialLoss, images: Tensor) -> dict[str, Any]:
        """One step of the autoencoder, then one of the discriminator against the new one."""
        optimizers: Any = self.optimizers()
        autoencoder, discriminator = optimizers
        step = self.global_step
        self.toggle_optimizer(autoencoder)
        result = self._pass(images, "posterior")
        value, figures = loss.of_autoencoder(
            images,
            result.reconstruction.float(),
            self._penalty(result.penalties),
            self.first_stage.decoder.conv_out.weight,
            step,
        )
        autoencoder.zero_grad()
        self.manual_backward(value)
        autoencoder.step()
        self.untoggle_optimizer(autoencoder)
        adversarial = step >= loss.start
        if adversarial:
            figures |= self._train_discriminator(loss, discriminator.optimizer, images)
        for scheduler in self._schedulers()[: 1 + adversarial]:  # as many as optimizers made a step
            scheduler.step()
        return _outputs(value.detach(), {**result.penalties, **result.figures, **figures})

    def _train_discriminator(
        self, loss: AdversarialLoss, optimizer: Optimizer, images: Tensor
    ) -> dict[str, Tensor]:
        """The discriminator's step, which Lightning does not count: a batch is one step."""
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            raise ValueError(
                "a discriminator cannot be trained in 16-mixed: use trainer.precision=bf16-mixed "
                "or 32-true"
            )
        with torch.no_grad():
            reconstruction = self._pass(images, "discriminator").reconstruction.float()
        value, figures = loss.of_discriminator(images, reconstruction)
        optimizer.zero_grad()
        self.manual_backward(value)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            callback.on_before_optimizer_step(self.trainer, self, optimizer)
        optimizer.step()
        optimizer.zero_grad()
        return figures

    def _schedulers(self) -> list[Any]:
        schedulers: Any = self.lr_schedulers() or []
        return schedulers if isinstance(schedulers, list) else [schedulers]

    def configure_optimizers(self) -> Any:
        """One optimizer by the recipe; with a discriminator two, its own being the second."""
        if self.loss is None:
            return super().configure_optimizers()
        recipe, parts = self._recipe(), (self.first_stage, self.loss.discriminator)
        pairs = [recipe.configure(part.parameters()) for part in parts]
        if isinstance(pairs[0], dict):
            return [pair["optimizer"] for pair in pairs], [pair["lr_scheduler"] for pair in pairs]
        return pairs

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs the error and the peak signal-to-noise ratio of reconstructions from the mean."""
        images = _images_of(batch)
        reconstruction = self.reconstruct(images).float()
        error = self.reconstruction_loss(reconstruction, images)
        psnr = peak_signal_to_noise(reconstruction, images).mean()
        self.log_validation({"validation/loss": error, "validation/psnr": psnr}, len(images))

    def on_train_end(self) -> None:
        """Measures the latents with the weights that will be saved: the averaged ones, if any."""
        if not self.normalize_latents:
            return
        ema = self.recipe.ema if self.recipe is not None else None
        with nullcontext() if ema is None else ema.applied(self):  # type: ignore[attr-defined]
            self.measure_latents(self._train_images())

    @contextmanager
    def completed(self) -> Iterator[None]:
        """Within, the latents' scale is that of the present weights."""
        shift, scale = self.first_stage.shift.clone(), self.first_stage.scale.clone()
        if self.normalize_latents:
            self.measure_latents(self._train_images())
        try:
            yield
        finally:
            self.first_stage.set_scale(shift, scale)

    @torch.no_grad()
    def measure_latents(self, images: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Sets the first stage's shift and scale from the latents of batches of images in [-1, 1].

        Returns:
            The latents' mean and standard deviation, each (C,) float64.

        Raises:
            ValueError: there are no images, or a channel does not vary.
        """
        with evaluation_mode(self):
            moments = (self.first_stage.moments(batch.to(self.device)) for batch in images)
            mean, deviation = latent_statistics(latent_sums(self.first_stage, moments))
        self.first_stage.set_scale(mean, 1 / deviation)
        return mean, deviation

    def _train_images(self) -> Iterator[Tensor]:
        train = getattr(getattr(self.trainer, "datamodule", None), "train", None)
        if train is None:
            yield from (_images_of(batch) for batch in self.trainer.train_dataloader or ())
            return
        yield from batches_of(train)


def batches_of(images: ImageSet) -> Iterator[Tensor]:
    """All images of a set in order, (B, C, H, W) in [-1, 1]."""
    for first in range(0, len(images), _PER_BATCH):
        indices = torch.arange(first, min(first + _PER_BATCH, len(images)))
        yield to_float(images.gather(indices))


def peak_signal_to_noise(reconstruction: Tensor, images: Tensor) -> Tensor:
    """PSNR of each image in dB, (B,), for images in [-1, 1]; at most 100."""
    error = (reconstruction - images).square().mean((1, 2, 3))
    return 10 * torch.log10(4 / error.clamp(min=4e-10))


def _outputs(loss: Tensor, figures: dict[str, Tensor]) -> dict[str, Any]:
    return {"loss": loss, "figures": {name: v.detach() for name, v in figures.items()}}


def _images_of(batch: Batch) -> Tensor:
    if batch.images is None:
        raise ValueError("an autoencoder trains on images: this batch has moments only")
    return batch.images
