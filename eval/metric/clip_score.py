"""How well images fit their captions: CLIP score (arXiv:2104.08718)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from eval.metric.metric import Metric
from zoo.records import Batch


def clip_score(image_features: Tensor, text_features: Tensor) -> Tensor:
    """``100 max(cos, 0)`` of each pair, (B,) float64; the score of a set is their mean.

    The clamp comes before the mean, as in the paper's eq. 1 (with weight 100 instead of 2.5).

    Args:
        image_features: (B, D), of any length.
        text_features: (B, D), row i of the caption of image i.

    Raises:
        ValueError: the shapes differ, or a value is not finite.
    """
    if image_features.shape != text_features.shape or image_features.ndim != 2:
        raise ValueError(
            f"one caption feature per image feature is needed, (B, D) both, got "
            f"{tuple(image_features.shape)} and {tuple(text_features.shape)}"
        )
    images, texts = image_features.double(), text_features.to(image_features.device).double()
    if not (images.isfinite().all() and texts.isfinite().all()):
        raise ValueError("features with NaN or infinite values")
    return 100 * F.cosine_similarity(images, texts, dim=-1).clamp(min=0)


class ClipScore(Metric):
    """The mean of ``100 max(cos, 0)`` between images and their captions.

    Args:
        text: captions in, their features (B, D) out: ``extractor.text``.
        extractor: its name.
        feature: which image feature shares the captions' space.
    """

    stem = "clip_score"
    definition = "mean over pairs of 100 max(cos(image, caption), 0)"
    higher_is_better = True
    total: Tensor
    count: Tensor

    def __init__(
        self, text: Callable[[list[str]], Tensor], extractor: str, feature: str = "pool"
    ) -> None:
        super().__init__(extractor, feature)
        self.text = text
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, features: dict[str, Tensor], batch: Batch) -> None:
        """Adds the pairs of one batch, whose condition holds the captions.

        Raises:
            ValueError: the batch has no captions.
        """
        if not isinstance(batch.condition, list):
            raise ValueError(
                f"{self.name} needs a caption for each image; this batch's condition is a "
                f"{type(batch.condition).__name__}"
            )
        scores = clip_score(self.read(features), self.text(batch.condition))
        self.total += scores.sum().to(self.device)
        self.count += len(scores)

    def compute(self) -> dict[str, float]:
        """The mean score, under this metric's name."""
        if self.count == 0:
            raise ValueError(f"{self.name}: no pair has been seen")
        return {self.name: float(self.total / self.count)}
