"""A classifier of noisy images, whose gradient guides a diffusion (ADM, arXiv:2105.05233)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.diffusion.clock import Clock, DiscreteClock, times
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.parameterization import X0
from zoo.diffusion.time_sampler import QUARTILES, quartile
from zoo.first_stage import FirstStage, Identity
from zoo.recipe import Recipe
from zoo.records import Batch, Level
from zoo.schedule import NoiseSchedule
from zoo.trainable import Draws, Trainable, latents


class NoisyClassifier(Trainable):
    """log p(label | noisy x) at every level of a schedule, learned by cross-entropy at uniform t.

    Args:
        network: called as ``network(x, t)``, gives logits (B, K) and has ``num_classes`` K.
        schedule: the noise levels; guiding needs those of the guided model.
        image_shape: (C, H, W) of the images.
        first_stage: images to what is classified; the identity when None.
        clock: a level to the network's own time; ``DiscreteClock`` when None.
        recipe: how to train; not part of a saved model.

    Attributes:
        latent_shape: (C, h, w) of what is classified.
        num_classes: labels are 0 to num_classes - 1.
        network_evaluations: how many rows the network has evaluated since this was last set to 0.

    Raises:
        ValueError: the network is not one for such images, or for fewer than two classes.
    """

    takes_first_stage = True
    frozen_parts = ("first_stage",)

    def __init__(
        self,
        network: nn.Module,
        schedule: NoiseSchedule,
        image_shape: Sequence[int],
        first_stage: FirstStage | None = None,
        clock: Clock | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        super().__init__(recipe)
        self.network = network
        self.schedule = schedule
        self.image_shape = list(image_shape)
        self.first_stage: FirstStage = first_stage if first_stage is not None else Identity()
        self.clock: Clock = clock if clock is not None else DiscreteClock()
        self.latent_shape = tuple(self.first_stage.latent_shape(image_shape))
        self.diffusion = GaussianDiffusion(schedule, X0())  # to add noise; nothing is predicted
        self.network_evaluations = 0
        if isinstance(self.first_stage, nn.Module):
            self.first_stage.requires_grad_(False).eval()
        _check(network, self.latent_shape)

    @property
    def num_classes(self) -> int:
        """The number of labels."""
        return int(self.network.num_classes)  # type: ignore[arg-type]

    def forward(self, x: Tensor, level: Level) -> Tensor:
        """The logits (B, K), float32 at least, of x (B, C, h, w) at a level of floats or (B,)."""
        self.network_evaluations += x.shape[0]
        logits = self.network(x, times(self.clock, level, x))
        return logits if logits.dtype == torch.float64 else logits.float()

    def gradient(self, x: Tensor, level: Level, labels: Tensor) -> Tensor:
        """d log p(label | x) / dx of each image, (B, C, h, w); works in inference mode too.

        Args:
            x: (B, C, h, w) noisy images.
            level: of all of them.
            labels: (B,) int64.
        """
        with torch.inference_mode(False), torch.enable_grad():
            # tensors made in inference mode cannot be differentiated, their copies can
            x, labels = x.detach().clone().requires_grad_(), labels.to(x.device).clone()
            log_p = F.log_softmax(self(x, level), dim=1)
            (gradient,) = torch.autograd.grad(log_p.gather(1, labels[:, None]).sum(), x)
        return gradient

    # Training

    def on_fit_start(self) -> None:
        """Raises ValueError where the data have no labels, or more than the network knows."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if data is None:
            return
        if data.condition != "label":
            raise ValueError(
                f"a noisy classifier learns from labels, but data.condition={data.condition}: "
                "set data.condition=label"
            )
        if data.num_classes is not None and data.num_classes > self.num_classes:
            raise ValueError(
                f"{data.name} has {data.num_classes} classes but the classifier knows "
                f"{self.num_classes}: set model.network.num_classes={data.num_classes}"
            )

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        size = len(batch)
        t, losses, right = self._losses(batch, lambda purpose: self.draw(size, purpose))
        figures = {"accuracy": right.mean()}
        per_image = losses.detach()
        return {"loss": losses.mean(), "t": t, "loss_per_image": per_image, "figures": figures}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs loss and accuracy, the latter by quartile of t too; always with the same draws."""
        t, losses, right = self._losses(batch, self.validation_draws(batch, batch_idx))
        means = {"validation/loss": losses.mean(), "validation/accuracy": right.mean()}
        self.log_validation(means, len(batch))
        bins = quartile(t, self.schedule.end).to(right.device)
        for index in range(QUARTILES):
            part = right[bins == index]  # perhaps empty; every process must log the key
            self.log_validation({f"validation/accuracy_q{index + 1}": part.mean()}, len(part))

    def _losses(self, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """t, cross-entropy and 1 where the likeliest label is right, each (B,)."""
        if not isinstance(batch.condition, Tensor):
            raise ValueError("a noisy classifier trains on labels: set data.condition=label")
        x0 = latents(self.first_stage, batch, draws)
        t = (draws("time").uniform() * self.schedule.end).floor() + 1
        noised = self.diffusion.noise(x0, t, draws("noise").normal(x0))
        logits = self(noised.x, noised.level)
        losses = F.cross_entropy(logits, batch.condition, reduction="none")
        return t, losses, (logits.argmax(dim=1) == batch.condition).float()


def _check(network: Any, shape: Sequence[int]) -> None:
    classes = getattr(network, "num_classes", None)
    if classes is None or classes < 2:
        raise ValueError(
            f"a classifier needs at least 2 classes, got network.num_classes={classes}; "
            "set data.num_classes"
        )
    channels, *sides = shape
    if getattr(network, "in_channels", channels) != channels:
        raise ValueError(
            f"network.in_channels is {network.in_channels} but what is classified has {channels}: "
            f"set network.in_channels={channels}"
        )
    size = getattr(network, "image_size", sides[0])
    if sides != [size, size]:
        raise ValueError(
            f"the network is for {size} x {size}, but what is classified is {sides[0]} x "
            f"{sides[1]}: set network.image_size={sides[0]}, for square images"
        )
