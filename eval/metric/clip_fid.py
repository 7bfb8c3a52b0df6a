"""CLIP-FID (arXiv:2203.06026): FID of a CLIP's image features, as clean-fid gives it."""

from __future__ import annotations

from typing import Any

from eval.metric.frechet import FrechetDistance
from eval.metric.metric import provided


class ClipFrechetDistance(FrechetDistance):
    """The Fréchet distance of a CLIP's image features; clean-fid's is OpenAI's ViT-B/32.

    The features are those that captions are compared with, not normalised. clean-fid prepares
    images as OpenAI does, and so does ``OpenClip``.
    """

    stem = "clip_fid"
    definition = (
        "Fréchet distance, with the image features of a CLIP: as FID, of a network that learned "
        "from captions and not from ImageNet's classes. It falls as sets grow."
    )
    needs = "the image tower of a CLIP (clip_b32, open_clip, small_clip)"

    @classmethod
    def suits(cls, extractor: Any, num_classes: int | None) -> bool:
        return hasattr(extractor, "text") and cls.reads in provided(extractor)
