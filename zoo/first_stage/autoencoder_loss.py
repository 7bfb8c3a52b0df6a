"""The losses of LDM's autoencoders: L1 and LPIPS, a penalty, and a discriminator's opinion.

LDM, appendix G, and VQGAN (arXiv:2012.09841, eq. 7). ``Autoencoder`` adds the penalty, KL or
codebook. The two classes differ as the published code does: KL models sum over an image, and
divide by a variance that no optimizer holds; VQ models average.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.system.processes import mean

_MOST = 1e4  # of the discriminator's adaptive weight


class AdversarialLoss(nn.Module, ABC):
    """The losses of an autoencoder and its discriminator, which train in turn.

    Args:
        perceptual: of two batches of images, a distance (B,): ``LPIPS``.
        discriminator: images to logits: ``PatchDiscriminator``.
        start: the first step at which the discriminator learns and counts.
        weight: of its opinion, beside the adaptive weight.
        perceptual_weight: of the perceptual distance, beside L1's 1.
    """

    penalty: ClassVar[str]
    """The penalty of the autoencoders it is for, in their ``training_pass``."""

    def __init__(
        self,
        perceptual: nn.Module,
        discriminator: nn.Module,
        start: int,
        weight: float,
        perceptual_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.perceptual = perceptual.requires_grad_(False)
        self.discriminator = discriminator
        self.start, self.weight, self.perceptual_weight = start, weight, perceptual_weight

    def train(self, mode: bool = True) -> AdversarialLoss:
        super().train(mode)
        self.perceptual.eval()
        return self

    def of_autoencoder(
        self, images: Tensor, reconstruction: Tensor, penalty: Tensor, last: Tensor, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The autoencoder's loss, and figures to look at.

        Args:
            images: (B, C, H, W) in [-1, 1].
            reconstruction: the same shape, with a gradient.
            penalty: a number that is added, weighted already.
            last: the decoder's last weight, at which the two gradients are compared.
            step: batches trained so far.
        """
        distance = self.perceptual(images, reconstruction)
        error = (images - reconstruction).abs()
        error = error + self.perceptual_weight * distance.view(-1, 1, 1, 1)
        reconstruction_loss = self.reduction(error)
        loss = reconstruction_loss + penalty
        figures = {"perceptual": distance.mean()}
        if step >= self.start:
            opinion = -self.discriminator(reconstruction).mean()
            adaptive = self.weight * adaptive_weight(reconstruction_loss, opinion, last)
            loss = loss + adaptive * opinion
            figures |= {"generator": opinion, "adaptive_weight": adaptive}
        return loss, figures

    def of_discriminator(
        self, images: Tensor, reconstruction: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's hinge loss, and figures to look at."""
        real = self.discriminator(images.detach())
        fake = self.discriminator(reconstruction.detach())
        loss = 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
        return loss, {"discriminator": loss, "real": real.mean(), "fake": fake.mean()}

    @abstractmethod
    def reduction(self, error: Tensor) -> Tensor:
        """The reconstruction loss of errors (B, C, H, W)."""


class KLAdversarialLoss(AdversarialLoss):
    """Of KL autoencoders: sums over an image, scaled by a variance; the KL is a sum too.

    The variance is a parameter in the published code, but in no optimizer: it stays as it is.

    Args:
        perceptual: see ``AdversarialLoss``, as for all others but
        log_variance: of the reconstruction's likelihood.
    """

    penalty = "kl"

    def __init__(
        self,
        perceptual: nn.Module,
        discriminator: nn.Module,
        start: int = 50_001,
        weight: float = 0.5,
        perceptual_weight: float = 1.0,
        log_variance: float = 0.0,
    ) -> None:
        super().__init__(perceptual, discriminator, start, weight, perceptual_weight)
        self.log_variance = nn.Parameter(torch.tensor(float(log_variance)))

    def reduction(self, error: Tensor) -> Tensor:
        return (error / self.log_variance.exp() + self.log_variance).sum() / len(error)


class VQAdversarialLoss(AdversarialLoss):
    """Of VQ autoencoders: means over all pixels."""

    penalty = "codebook"

    def __init__(
        self,
        perceptual: nn.Module,
        discriminator: nn.Module,
        start: int = 0,
        weight: float = 0.75,
        perceptual_weight: float = 1.0,
    ) -> None:
        super().__init__(perceptual, discriminator, start, weight, perceptual_weight)

    def reduction(self, error: Tensor) -> Tensor:
        return error.mean()


def adaptive_weight(reconstruction_loss: Tensor, opinion: Tensor, last: Tensor) -> Tensor:
    """The ratio of the two losses' gradients at the last layer, 0 to 10,000 (VQGAN, eq. 7).

    The gradients are those of the batch of all processes.
    """
    ours, theirs = (
        mean(torch.autograd.grad(loss, last, retain_graph=True)[0]).norm()
        for loss in (reconstruction_loss, opinion)
    )
    return (ours / (theirs + 1e-4)).clamp(0.0, _MOST).detach()
