"""What every metric of the harness shares."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torchmetrics
from torch import Tensor

from zoo.records import Batch


class NotEstimable(ValueError):
    """A number that these images are too few, or otherwise not made, to give; its text says why.

    It is no mistake of the user's: an evaluation leaves the number out and goes on.
    """


class Metric(torchmetrics.Metric):
    """A metric over the features of one extractor, in float64 states that merge across processes.

    Never make one a submodule of a model: ``model.to(bfloat16)`` would cast its states.

    Args:
        extractor: the name of the extractor whose features it is fed with.
        feature: which of them it reads.

    Attributes:
        stem: what the metric is called; its numbers are named ``<stem>_<extractor>``.
        higher_is_better: which direction is better.
        definition: what the number is, in one sentence.
        against: what it is made with: a reference's "statistics", its "rows", the extractor's
            "text", or "nothing". What needs "text" is left out where images have no captions.
        reads: the feature it reads unless told otherwise.
        needs: what an extractor has to give, in words.
        averaged: its blocks' numbers are averaged, for that is how it is defined; others are
            computed anew over all images.
    """

    stem: ClassVar[str]
    definition: ClassVar[str]
    against: ClassVar[str] = "nothing"
    reads: ClassVar[str] = "pool"
    needs: ClassVar[str] = "an extractor of images alone"
    averaged: ClassVar[bool] = False
    full_state_update = False  # two batches' states may be summed
    is_differentiable = False

    def __init__(self, extractor: str, feature: str = "pool") -> None:
        super().__init__()
        self.extractor = extractor
        self.feature = feature

    @property
    def name(self) -> str:
        """The number's name, such as ``fid_small``."""
        return f"{self.stem}_{self.extractor}"

    @classmethod
    def suits(cls, extractor: Any, num_classes: int | None) -> bool:
        """Whether it can be measured with this extractor on data of so many classes."""
        return cls.reads in provided(extractor) and not hasattr(extractor, "text")

    def define(self, name: str) -> str:
        """What the number of this name is, in one sentence."""
        return self.definition

    def limits(self, name: str) -> tuple[float, float]:
        """What the number of this name cannot leave."""
        return -math.inf, math.inf

    def read(self, features: dict[str, Tensor]) -> Tensor:
        """This metric's feature (B, D).

        Raises:
            ValueError: the extractor does not give it.
        """
        if self.feature not in features:
            raise ValueError(
                f"{self.name} reads the feature '{self.feature}', which {self.extractor} does not "
                f"give; it gives {', '.join(features)}"
            )
        return features[self.feature]

    def update(self, features: dict[str, Tensor], batch: Batch) -> None:
        """Adds one batch's features; the batch itself says what the images were meant to be."""
        raise NotImplementedError

    def compute(self) -> dict[str, float]:
        """The numbers of everything seen so far, by name.

        Raises:
            NotEstimable: there are too few images for it.
        """
        raise NotImplementedError

    def merge_state(self, incoming_state: dict[str, Any] | torchmetrics.Metric) -> None:
        """Adds another instance's states, as if this one had seen its batches too."""
        super().merge_state(incoming_state)
        if isinstance(incoming_state, torchmetrics.Metric):
            self._update_count += incoming_state._update_count
            self._computed = None


def provided(extractor: Any) -> tuple[str, ...]:
    """The features that an extractor gives; ``pool`` where it does not say."""
    found: tuple[str, ...] = getattr(extractor, "provides", ("pool",))
    return found
