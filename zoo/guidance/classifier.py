"""Classifier guidance (ADM, arXiv:2105.05233, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.conditioner.class_label import as_labels
from zoo.guidance.guidance import Guidance, network_description
from zoo.guidance.interval import Interval
from zoo.guidance.unguided import Unguided
from zoo.part import Part
from zoo.records import Clip, Condition, Level, Predict, Prediction, RawPredict


class Classifier(Part):
    """Moves x0 by the gradient of a noisy classifier: x0 + sigma^2 / alpha scale d log p(y|x) / dx.

    In terms of noise that is eps - sigma scale gradient, algorithm 2; ``Ancestral`` reads the
    gradient off ``Prediction.score`` and moves its mean by its own variance instead, algorithm 1.
    The gradient is added behind the clip. Labels come from ``condition.raw``, also for a model that
    is unconditional, which is then steered by the classifier alone. One evaluation and one
    gradient of the classifier, beside the model's evaluations, per prediction.

    Args:
        classifier: ``zoo.NoisyClassifier``, of the schedule and the space of the guided model; it
            is frozen.
        scale: of the gradient, 0 or more: 1 samples p(x) p(y|x), higher is closer to the class.
        interval: guide between these levels only, both included; None: at all.
        interval_in: what ``interval`` is in: t, log_snr, or sigma (of x / alpha).
        guidance: of the predictions that are moved, such as ``ClassifierFree``; ``Unguided`` when
            None.

    Raises:
        ValueError: another object than a noisy classifier, or a setting out of its range.
    """

    def __init__(
        self,
        classifier: Any,
        scale: float = 1.0,
        interval: Sequence[float] | None = None,
        interval_in: str = "t",
        guidance: Guidance | None = None,
    ) -> None:
        if not hasattr(classifier, "gradient"):
            raise ValueError(
                f"guidance.classifier is not a NoisyClassifier, such as `zoo train "
                f"model=noisy_classifier` makes, but {network_description(classifier)}"
            )
        if scale < 0:
            raise ValueError(f"a classifier's scale must not be negative, got {scale}")
        self.classifier = classifier.requires_grad_(False).eval()
        self.scale = scale
        self.interval, self.interval_in = interval, interval_in
        self.guidance: Guidance = guidance if guidance is not None else Unguided()
        Interval(interval, interval_in)  # refuses impossible bounds

    @property
    def needs_null(self) -> bool:
        return self.guidance.needs_null

    @property
    def networks(self) -> dict[str, Any]:
        """The classifier."""
        return {"classifier": self.classifier}

    @property
    def num_classes(self) -> int:
        """The number of the classifier's labels."""
        return self.classifier.num_classes

    def __call__(
        self, predict: RawPredict, condition: Condition, null: Condition | None, clip: Clip
    ) -> Predict:
        inner = self.guidance(predict, condition, null, clip)
        if self.scale == 0:
            return inner
        levels = Interval(self.interval, self.interval_in)
        labels = as_labels(condition.raw, self.num_classes)

        def guided(x: Tensor, level: Level) -> Prediction:
            prediction = inner(x, level)
            # pure noise tells a classifier nothing, and x0 cannot be computed from it
            if level not in levels or level.alpha == 0:
                return prediction
            score = self.classifier.gradient(x, level, labels).mul_(self.scale)
            x0 = torch.add(prediction.x0, score, alpha=level.sigma**2 / level.alpha)
            if prediction.score is not None:
                score += prediction.score
            return prediction._replace(x0=x0, score=score)

        return guided
