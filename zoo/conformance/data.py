"""Data whose best denoiser and probability flow are known: mixtures of normals, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.records import Level, Predict, Prediction


@dataclass(frozen=True)
class Mixture:
    """Pixels that are drawn independently from a mixture of normals.

    Args:
        weights: of the components, with sum 1.
        means: of the components.
        stds: of the components.
    """

    weights: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]

    def predict(self, fraction: float | Tensor = 0.0) -> Predict:
        """The optimal denoiser, E[x0 | x], with this variance fraction."""

        def optimal(x: Tensor, level: Level) -> Prediction:
            weights, means, stds = self._components(x)
            variance = (level.alpha * stds) ** 2 + level.sigma**2
            centred = x[..., None] - level.alpha * means
            belongs = (weights.log() - 0.5 * variance.log() - centred**2 / (2 * variance)).softmax(
                -1
            )
            each = means + level.alpha * stds**2 / variance * centred
            return Prediction((belongs * each).sum(-1), fraction)

        return optimal

    def cdf(self, x: Tensor, level: Level) -> Tensor:
        """The share of noisy pixels below x."""
        weights, means, stds = self._components(x)
        spread = ((level.alpha * stds) ** 2 + level.sigma**2).sqrt()
        z = (x[..., None] - level.alpha * means) / spread
        return (weights * torch.special.ndtr(z)).sum(-1)

    def quantile(self, share: Tensor, level: Level) -> Tensor:
        """The inverse of ``cdf``, by bisection to float64's last digits."""
        low, high = torch.full_like(share, -20.0), torch.full_like(share, 20.0)
        for _ in range(70):
            middle = (low + high) / 2
            below = self.cdf(middle, level) < share
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def flow(self, x: Tensor, now: Level, to: Level) -> Tensor:
        """The end of the probability flow from x: in one dimension it keeps every quantile."""
        if len(self.means) == 1:
            spread, spread_to = (
                ((level.alpha * self.stds[0]) ** 2 + level.sigma**2) ** 0.5 for level in (now, to)
            )
            centred = x - now.alpha * self.means[0]
            return to.alpha * self.means[0] + centred * (spread_to / spread)
        return self.quantile(self.cdf(x, now), to)

    def spread(self) -> float:
        """The standard deviation of the data."""
        mean = sum(w * m for w, m in zip(self.weights, self.means, strict=True))
        square = sum(
            w * (m**2 + s**2) for w, m, s in zip(self.weights, self.means, self.stds, strict=True)
        )
        return float((square - mean**2) ** 0.5)

    def _components(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights, means, stds = (
            torch.tensor(values, dtype=like.dtype, device=like.device)
            for values in (self.weights, self.means, self.stds)
        )
        return weights, means, stds


GAUSSIAN = Mixture((1.0,), (0.3,), (0.5,))
MIXTURE = Mixture((0.3, 0.7), (-0.6, 0.5), (0.2, 0.3))
