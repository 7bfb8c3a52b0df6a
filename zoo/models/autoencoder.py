"""Trains a first stage: images to latents and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.stream import to_float
from zoo.first_stage.conv_autoencoder import ConvAutoencoder
from zoo.recipe import Recipe
from zoo.records import Batch
from zoo.trainable import Trainable

_PER_BATCH = 256  # images at once where the latents are measured


class Autoencoder(Trainable):
    """Latent diffusion's first stage in training: reconstruction and a little KL (LDM, appendix G).

    At the end of a fit the latents of the whole training set are measured, and the first stage is
    given the shift and scale that make them zero in mean and one in deviation, channel by channel.

    Args:
        first_stage: the autoencoder.
        recipe: how to train.
        kl_weight: weight of a KL autoencoder's KL term. Both terms are sums over an image divided
            by its number of values, so that the weight means what LDM's (on plain sums) does.
        reconstruction_loss: of (reconstruction, images), a number; the mean absolute error if None.
        codebook_weight: weight of a VQ autoencoder's codebook and commitment loss.
    """

    not_saved: ClassVar[tuple[str, ...]] = ("recipe", "reconstruction_loss", "codebook_weight")

    def __init__(
        self,
        first_stage: ConvAutoencoder,
        recipe: Recipe | None = None,
        kl_weight: float = 1e-6,
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        codebook_weight: float = 1.0,
    ) -> None:
        super().__init__(recipe)
        self.first_stage = first_stage
        self.kl_weight, self.codebook_weight = kl_weight, codebook_weight
        self.reconstruction_loss = reconstruction_loss or F.l1_loss

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction of images (B, C, H, W) in [-1, 1]."""
        return self.reconstruct(images)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] through the mean of their latents and back, clipped."""
        moments = self.first_stage.moments(images)
        return self.first_stage.decode(self.first_stage.draw(moments)).clamp(-1.0, 1.0)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The loss on a batch, its latents drawn from their posterior."""
        images = _images_of(batch)
        passed = self.first_stage.training_pass(images, self.draw(len(images), "posterior"))
        penalties = dict(passed.penalties)
        if "kl" in penalties:
            penalties["kl"] = penalties["kl"] / images[0].numel()
        error = self.reconstruction_loss(passed.reconstruction.float(), images)
        weights = {"kl": self.kl_weight, "codebook": self.codebook_weight}
        loss = error + sum(weights[name] * value for name, value in penalties.items())
        shown = {"reconstruction": error, **penalties, **passed.figures}
        self._log({f"train/{name}": value.detach() for name, value in shown.items()}, len(images))
        return {"loss": loss}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs the error and the peak signal-to-noise ratio of reconstructions from the mean."""
        images = _images_of(batch)
        reconstruction = self.reconstruct(images).float()
        error = self.reconstruction_loss(reconstruction, images)
        psnr = peak_signal_to_noise(reconstruction, images).mean()
        self._log({"validation/loss": error, "validation/psnr": psnr}, len(images), sync_dist=True)

    def on_train_end(self) -> None:
        """Measures the latents with the weights that will be saved: the averaged ones, if any."""
        ema = self.recipe.ema if self.recipe is not None else None
        with nullcontext() if ema is None else ema.applied(self):  # type: ignore[attr-defined]
            self.measure_latents(self._train_images())

    @torch.no_grad()
    def measure_latents(self, images: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Sets the first stage's shift and scale from the latents of batches of images in [-1, 1].

        Returns:
            The latents' mean and standard deviation, each (C,) float64.

        Raises:
            ValueError: there are no images, or a channel does not vary.
        """
        was_training = self.training
        self.eval()
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for batch in images:
            moments = self.first_stage.moments(batch.to(self.device))
            mean, variance = (v.double().cpu() for v in self.first_stage.mean_variance(moments))
            count += mean[:, 0].numel()
            total = total + mean.sum((0, 2, 3))
            squares = squares + (mean.square() + variance).sum((0, 2, 3))  # of draws, exactly
        self.train(was_training)
        if not count:
            raise ValueError("the latents cannot be measured: there are no training images")
        mean = total / count
        deviation = (squares / count - mean.square()).sqrt()
        self.first_stage.set_scale(mean, 1 / deviation)
        return mean, deviation

    def _train_images(self) -> Iterator[Tensor]:
        train = getattr(getattr(self.trainer, "datamodule", None), "train", None)
        if train is None:
            yield from (_images_of(batch) for batch in self.trainer.train_dataloader or ())
            return
        for first in range(0, len(train), _PER_BATCH):
            indices = torch.arange(first, min(first + _PER_BATCH, len(train)))
            yield to_float(train.gather(indices))

    def _log(self, values: dict[str, Tensor], batch_size: int, sync_dist: bool = False) -> None:
        if self._trainer is not None:  # a step may be called without one
            self.log_dict(values, batch_size=batch_size, sync_dist=sync_dist)


def peak_signal_to_noise(reconstruction: Tensor, images: Tensor) -> Tensor:
    """PSNR of each image in dB, (B,), for images in [-1, 1]; at most 100."""
    error = (reconstruction - images).square().mean((1, 2, 3))
    return 10 * torch.log10(4 / error.clamp(min=4e-10))


def _images_of(batch: Batch) -> Tensor:
    if batch.images is None:
        raise ValueError("an autoencoder trains on images: this batch has moments only")
    return batch.images
