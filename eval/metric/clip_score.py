"""How well images fit their captions: CLIP score (arXiv:2104.08718).

Two scales are in use: ``100 max(cos, 0)`` of the caption as it is, and the paper's CLIPScore,
``2.5 max(cos, 0)`` of the caption after "A photo depicts". The clamp comes before the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from eval.metric.metric import Metric
from zoo.records import Batch


def clip_score(image_features: Tensor, text_features: Tensor, weight: float = 100.0) -> Tensor:
    """``weight max(cos, 0)`` of each pair, (B,) float64 (eq. 1); a set's score is their mean.

    Args:
        image_features: (B, D), of any length.
        text_features: (B, D), row i of the caption of image i.
        weight: 2.5 in the paper.

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
    return weight * F.cosine_similarity(images, texts, dim=-1).clamp(min=0)


class ClipScore(Metric):
    """The mean of ``weight max(cos, 0)`` between images and their captions.

    Args:
        text: captions in, their features (B, D) out: ``extractor.text``.
        extractor: its name.
        feature: which image feature shares the captions' space.
        weight: of the cosine.
        prefix: words that are put before each caption.
    """

    stem = "clip_score"
    against = "text"
    definition = "mean over pairs of 100 max(cos(image, caption), 0)"
    higher_is_better = True
    needs = "a network of images and captions (open_clip, small_clip)"
    total: Tensor
    count: Tensor

    def __init__(
        self,
        text: Callable[[list[str]], Tensor],
        extractor: str,
        feature: str = "pool",
        weight: float = 100.0,
        prefix: str = "",
    ) -> None:
        super().__init__(extractor, feature)
        self.text, self.weight = text, weight
        self.prefix = f"{prefix} " if prefix else ""
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @classmethod
    def suits(cls, extractor: Any, num_classes: int | None) -> bool:
        return hasattr(extractor, "text")

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
        captions = self.text([self.prefix + caption for caption in batch.condition])
        scores = clip_score(self.read(features), captions, self.weight)
        self.total += scores.sum().to(self.device)
        self.count += len(scores)

    def compute(self) -> dict[str, float]:
        """The mean score, under this metric's name."""
        if self.count == 0:
            raise ValueError(f"{self.name}: no pair has been seen")
        return {self.name: float(self.total / self.count)}


class ClipScoreW25(ClipScore):
    """CLIPScore as its paper gives it: weight 2.5, the caption after "A photo depicts"."""

    stem = "clip_score_w25"
    definition = (
        "CLIPScore: the mean over images of 2.5 max(cos, 0) between an image and its caption after "
        "the words 'A photo depicts', in a CLIP's features."
    )

    def __init__(
        self,
        text: Callable[[list[str]], Tensor],
        extractor: str,
        feature: str = "pool",
        weight: float = 2.5,
        prefix: str = "A photo depicts",
    ) -> None:
        super().__init__(text, extractor, feature, weight, prefix)
