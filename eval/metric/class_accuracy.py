"""How often a classifier sees in a generated image what it was generated for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eval.metric.metric import Metric, provided
from zoo.records import Batch


class ClassAccuracy(Metric):
    """The share of images whose most likely class is their label.

    Args:
        extractor: the name of a classifier of the data's own classes.
        feature: its logits.
    """

    stem = "class_accuracy"
    definition = (
        "Share of generated images in which a classifier of the data's classes sees the class they "
        "were generated for."
    )
    higher_is_better = True
    reads, needs = "logits", "a classifier of the data's own classes (small)"
    right: Tensor
    count: Tensor

    def __init__(self, extractor: str, feature: str = "logits") -> None:
        super().__init__(extractor, feature)
        for name in ("right", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @classmethod
    def suits(cls, extractor: Any, num_classes: int | None) -> bool:
        if num_classes is None or getattr(extractor, "num_classes", None) != num_classes:
            return False
        return cls.reads in provided(extractor)

    def limits(self, name: str) -> tuple[float, float]:
        return 0.0, 1.0

    def update(self, features: dict[str, Tensor], batch: Batch) -> None:
        """Adds one batch, whose labels stand beside the features as ``label``.

        Raises:
            ValueError: the images have no labels.
        """
        if "label" not in features:
            raise ValueError(f"{self.name}: the images were generated for no labels")
        guessed = self.read(features).argmax(dim=1).cpu()
        self.right += (guessed == features["label"].cpu()).sum().to(self.device)
        self.count += len(guessed)

    def compute(self) -> dict[str, float]:
        """The share, under this metric's name."""
        if self.count == 0:
            raise ValueError(f"{self.name}: no image has been seen")
        return {self.name: int(self.right) / int(self.count)}
