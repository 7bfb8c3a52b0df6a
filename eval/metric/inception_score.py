"""The Inception Score (arXiv:1606.03498): how sure and how various a classifier's answers are."""

from __future__ import annotations

import torch
from torch import Tensor

from eval.metric.metric import Metric
from eval.result.uncertainty import block_bounds
from eval.source.batch import Images


def inception_score(logits: Tensor, splits: int = 10) -> Tensor:
    """``exp(E KL(p(y|x) || p(y)))`` of each of ``splits`` consecutive parts, (splits,) float64.

    The score is their mean; it depends on the size of a part, so only equal sizes are comparable.

    Args:
        logits: (N, C).
        splits: number of parts.

    Raises:
        ValueError: the logits are not (N, C), not finite, or fewer than the splits.
    """
    if logits.ndim != 2 or not logits.isfinite().all():
        raise ValueError(f"logits are (N, C) and finite, got {tuple(logits.shape)}")
    if not 1 <= splits <= len(logits):
        raise ValueError(f"{len(logits)} images cannot be cut into {splits} splits")
    bounds = block_bounds(len(logits), splits)
    return torch.stack([_score(*_sums(logits[first:last])) for first, last in bounds])


def _sums(logits: Tensor) -> tuple[Tensor, Tensor, int]:
    """Sum of p(y|x), sum of its negative entropies, count."""
    logs = logits.double().log_softmax(dim=1)
    p = logs.exp()
    return p.sum(dim=0), (p * logs).sum(), len(logits)


def _score(p: Tensor, negative_entropy: Tensor, count: int) -> Tensor:
    marginal = p / count
    return (negative_entropy / count - torch.xlogy(marginal, marginal).sum()).exp()


class InceptionScore(Metric):
    """The score of the images as one split; a score over several splits is the metrics' mean."""

    stem, title = "inception_score", "Inception Score"
    definition = (
        "How sure a classifier is of each image and how various its answers are: the exponential "
        "of the mean divergence of p(class | image) from p(class), averaged over 10 splits."
    )
    higher_is_better = True
    reads, needs = "logits", "an extractor with class logits (inception, small)"
    averaged = True
    p: Tensor
    negative_entropy: Tensor
    count: Tensor

    def __init__(self, extractor: str, feature: str | None = None) -> None:
        super().__init__(extractor, feature)
        for name in ("p", "negative_entropy"):
            zero = torch.zeros((), dtype=torch.float64)
            self.add_state(name, zero, dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds one batch's logits."""
        logits = self.read(features)
        if logits.ndim != 2 or not logits.isfinite().all():
            raise ValueError(f"{self.name}: logits are (B, C) and finite")
        p, negative_entropy, count = _sums(logits)
        self.p = self.p + p.to(self.device)
        self.negative_entropy = self.negative_entropy + negative_entropy.to(self.device)
        self.count = self.count + count

    def compute(self) -> dict[str, float]:
        """The score, under this metric's name."""
        if self.count == 0:
            raise ValueError(f"{self.name}: no image has been seen")
        return {self.name: float(_score(self.p, self.negative_entropy, int(self.count)))}
