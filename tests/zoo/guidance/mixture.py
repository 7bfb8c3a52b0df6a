"""Two classes of Gaussian images with known densities, denoisers and classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import zoo
from zoo.conditioner import ClassLabel, Unconditional
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.parameterization import Epsilon
from zoo.models.noisy_classifier import NoisyClassifier
from zoo.records import Level
from zoo.sampler import DDIM
from zoo.schedule import Linear

MEANS, STDS, SHARES = (-0.4, 0.5), (0.3, 0.2), (0.3, 0.7)
SHAPE = (1, 2, 2)
SCHEDULE = Linear()


def densities(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """log of share and density of each class at noisy x (B, ...), up to one constant, (B, 2)."""
    found = []
    for mean, std, share in zip(MEANS, STDS, SHARES, strict=True):
        variance = (alpha * std) ** 2 + sigma**2
        error = (x - alpha * mean).flatten(1).square().sum(1)
        dims = x[0].numel()
        variance, share_ = variance.flatten(), torch.tensor(share, dtype=x.dtype)
        found.append(share_.log() - 0.5 * (error / variance + dims * variance.log()))
    return torch.stack(found, dim=1)


def levels_of(t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    level = SCHEDULE(t.double() + 1)
    return tuple(v.to(x.dtype)[:, None, None, None] for v in (level.alpha, level.sigma))  # type: ignore[return-value]


class Optimal(nn.Module):
    """E[x0 | x] of a class, or of all where the label is 2 or missing, as a network's output."""

    def __init__(self, parameterization=None, blur: float = 1.0) -> None:
        super().__init__()
        self.parameterization, self.blur = parameterization or Epsilon(), blur

    def forward(self, x, t, condition=None):
        alpha, sigma = levels_of(t, x)
        each = torch.stack(
            [
                mean + alpha * std**2 / ((alpha * std) ** 2 + sigma**2) * (x - alpha * mean)
                for mean, std in zip(MEANS, STDS, strict=True)
            ]
        )
        weights = densities(x, alpha, sigma).softmax(1).T[..., None, None, None]
        all_ = torch.cat([each, (weights * each).sum(0, keepdim=True)])
        labels = torch.full((len(x),), 2) if condition.vector is None else condition.vector
        x0 = all_[labels, torch.arange(len(x))] * self.blur
        c_x, c_out = self.parameterization.reading(alpha, sigma)
        return (x0 - c_x * x) / c_out


class Logits(nn.Module):
    """The optimal classifier: log p(y, x)."""

    num_classes = 2

    def forward(self, x, t):
        return densities(x, *levels_of(t, x))


def model(parameterization=None, dropout=0.1, conditional=True, blur=1.0) -> zoo.DDPM:
    return zoo.DDPM(
        Optimal(parameterization, blur),
        GaussianDiffusion(SCHEDULE, parameterization),
        SHAPE,
        DDIM(5),
        ClassLabel(2, dropout) if conditional else Unconditional(),
    ).eval()


def classifier() -> NoisyClassifier:
    return NoisyClassifier(Logits(), SCHEDULE, SHAPE).eval()


def points(count: int = 4) -> Tensor:
    return torch.randn(count, *SHAPE, dtype=torch.float64, generator=torch.manual_seed(3)) * 0.9


def guided_x0(x: Tensor, level: Level, labels: Tensor, scale: float) -> Tensor:
    """x0 of the density p(x)^(1 - scale) p(x | y)^scale, by Tweedie's formula."""
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        alpha = torch.full((len(x), 1, 1, 1), level.alpha, dtype=x.dtype)
        joint = densities(x, alpha, torch.full_like(alpha, level.sigma))
        chosen = joint[torch.arange(len(x)), labels]
        log_p = (1 - scale) * joint.logsumexp(1) + scale * chosen
        (score,) = torch.autograd.grad(log_p.sum(), x)
    return (x.detach() + level.sigma**2 * score) / level.alpha


def same(x0: Tensor) -> Tensor:
    """No clip."""
    return x0
