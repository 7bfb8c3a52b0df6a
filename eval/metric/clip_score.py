"""How well images fit their captions: CLIP score (arXiv:2104.08718).

Two scales are in use: ``100 max(cos, 0)`` of the caption as it is, and the paper's CLIPScore,
``2.5 max(cos, 0)`` of the caption after "A photo depicts". The clamp comes before the mean.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from eval.extractor.extractor import Extractor, is_of_text
from eval.metric.metric import MeanMetric
from eval.source.batch import Images


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
            f"one caption feature per image feature is needed, both (B, D), got "
            f"{tuple(image_features.shape)} and {tuple(text_features.shape)}"
        )
    images, texts = image_features.double(), text_features.to(image_features.device).double()
    if not (images.isfinite().all() and texts.isfinite().all()):
        raise ValueError("features with NaN or infinite values")
    return weight * F.cosine_similarity(images, texts, dim=-1).clamp(min=0)


class ClipScore(MeanMetric):
    """The mean of ``weight max(cos, 0)`` between images and their captions.

    Args:
        text: maps captions to features (B, D): ``extractor.text``.
        extractor: its name.
        feature: the image feature that shares the captions' space.
        weight: of the cosine; the class's own when None.
        prefix: words put before each caption; the class's own when None.
    """

    stem, title = "clip_score", "CLIP score"
    against = "text"
    higher_is_better = True
    definition = "mean over pairs of 100 max(cos(image, caption), 0)"
    needs = "a network of images and captions (open_clip, small_clip)"
    optional = True
    weight, prefix = 100.0, ""

    def __init__(
        self,
        text: Callable[[list[str]], Tensor],
        extractor: str,
        feature: str | None = None,
        weight: float | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(extractor, feature)
        self.text, self.weight = text, self.weight if weight is None else weight
        self.prefix = self.prefix if prefix is None else prefix

    @classmethod
    def suits(cls, extractor: Extractor, num_classes: int | None) -> bool:
        return is_of_text(extractor)

    def define(self, name: str, num_images: int, num_sets: int = 1) -> str:
        return (
            "How well images fit their captions, from 0 to 100, judged by a network "
            f"({self.extractor}) that was trained to match images with captions. Compare it with "
            "its chance (shuffled captions) and its ceiling (real images)."
        )

    def of(self, features: dict[str, Tensor], images: Images) -> Tensor:
        """The score of each pair, (B,) float64.

        Raises:
            ValueError: the batch has no captions.
        """
        if images.captions is None:
            raise ValueError(f"{self.name} needs a caption for each image; these have none")
        before = f"{self.prefix} " if self.prefix else ""
        captions = self.text([before + caption for caption in images.captions])
        return clip_score(self.read(features), captions, self.weight)


class ClipScoreW25(ClipScore):
    """CLIPScore as in its paper: weight 2.5, the caption after "A photo depicts"."""

    stem, title = "clip_score_w25", "CLIPScore (w = 2.5)"
    definition = (
        "CLIPScore: the mean over images of 2.5 max(cos, 0) between an image and its caption after "
        "the words 'A photo depicts', in a CLIP's features."
    )
    optional = False
    weight, prefix = 2.5, "A photo depicts"

    def define(self, name: str, num_images: int, num_sets: int = 1) -> str:
        return self.definition
