"""What every metric of the harness shares."""

from __future__ import annotations

from typing import Any, ClassVar

import torchmetrics
from torch import Tensor

from zoo.records import Batch


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
    """

    stem: ClassVar[str]
    definition: ClassVar[str]
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
        """The numbers of everything seen so far, by name."""
        raise NotImplementedError

    def merge_state(self, incoming_state: dict[str, Any] | torchmetrics.Metric) -> None:
        """Adds another instance's states, as if this one had seen its batches too."""
        super().merge_state(incoming_state)
        if isinstance(incoming_state, torchmetrics.Metric):
            self._update_count += incoming_state._update_count
            self._computed = None
