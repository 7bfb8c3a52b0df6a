"""How often a classifier recognises the class that an image was generated for."""

from __future__ import annotations

from torch import Tensor

from eval.extractor.extractor import Extractor, provided
from eval.metric.metric import MeanMetric
from eval.source.batch import Images


class ClassAccuracy(MeanMetric):
    """The share of images whose most likely class is their label, by a classifier's logits."""

    stem = "class_accuracy"
    definition = (
        "Share of generated images in which a classifier of the data's classes sees the class they "
        "were generated for."
    )
    higher_is_better = True
    reads, needs = "logits", "a classifier of the data's own classes (small)"

    @classmethod
    def suits(cls, extractor: Extractor, num_classes: int | None) -> bool:
        if num_classes is None or getattr(extractor, "num_classes", None) != num_classes:
            return False
        return cls.reads in provided(extractor)

    @classmethod
    def lacks(cls, images: Images) -> str | None:
        return "the images were generated for no classes" if images.labels is None else None

    def limits(self, name: str) -> tuple[float, float]:
        return 0.0, 1.0

    def of(self, features: dict[str, Tensor], images: Images) -> Tensor:
        """Whether each image's most likely class is its label, (B,) bool.

        Raises:
            ValueError: the images have no labels.
        """
        if images.labels is None:
            raise ValueError(f"{self.name}: the images were generated for no labels")
        return self.read(features).argmax(dim=1).cpu() == images.labels.cpu()
