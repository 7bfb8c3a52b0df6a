"""The base of every metric of the harness: its names, the features it reads, its sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torchmetrics
from torch import Tensor

from eval.extractor.extractor import Extractor, is_of_text, provided
from eval.result.heading import heading
from eval.source.batch import Images


class NotEstimable(ValueError):
    """A number that cannot be computed from these images, such as too few; the text says why.

    It is not a user's mistake: an evaluation leaves the number out and continues.
    """


class Metric(torchmetrics.Metric):
    """A metric in float64 states that merge across processes.

    Never make one a submodule of a model: ``model.to(bfloat16)`` would cast its states.

    Args:
        extractor: the name of the extractor whose features it reads; "" for pixels alone.
        feature: the feature that it reads; ``reads`` when None.

    Attributes:
        stem: its name in results; its numbers are named ``<stem>_<extractor>``.
        title: its name on pages; the stem without underscores where it has none.
        unit: of its numbers, such as "dB".
        definition: what the number is, for a newcomer, in one or two sentences.
        higher_is_better: which direction is better; None where neither is.
        against: what it compares images with. Of the reference: the "statistics" of its features,
            their "rows", or its "pixels". Else the extractor's "text", for which images need
            captions; "pairs" of original and reconstruction; the "model", which computes
            likelihoods; or "nothing".
        reads: the feature it reads by default; None for pixels alone.
        needs: what an extractor has to provide, for the message where none does.
        optional: left out, rather than refused, where no extractor suits it: true of defaults.
        per_count: measured at each set size that the protocol names, because its expectation
            depends on the number of images.
        averaged: defined as the mean of its blocks' numbers; others are computed over all images.
        has_interval: False where blocks of images do not show how sure the number is.
        distance: it is a distance between two sets of images: that of real images is its floor.
        unbiased: its expectation does not depend on the number of images.
        column: where tables show it: under "quality", under "cost", or in a "section" of its own.
    """

    stem: ClassVar[str]
    title: ClassVar[str] = ""
    unit: ClassVar[str] = ""
    definition: ClassVar[str]
    against: ClassVar[str] = "nothing"
    reads: ClassVar[str | None] = "pool"
    needs: ClassVar[str] = "an extractor of images alone"
    optional: ClassVar[bool] = False
    per_count: ClassVar[bool] = False
    averaged: ClassVar[bool] = False
    has_interval: ClassVar[bool] = True
    distance: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False
    column: ClassVar[str] = "quality"
    full_state_update = False  # two batches' states may be summed
    is_differentiable = False

    def __init__(self, extractor: str = "", feature: str | None = None) -> None:
        super().__init__()
        self.extractor = extractor
        self.feature = feature or self.reads or "pool"

    @property
    def name(self) -> str:
        """The number's name, such as ``fid_small``."""
        return f"{self.stem}_{self.extractor}" if self.extractor else self.stem

    @property
    def dimensions(self) -> int | None:
        """How many dimensions' covariance it fits, which biases it by order 1/N; else None."""
        return None

    @classmethod
    def suits(cls, extractor: Extractor, num_classes: int | None) -> bool:
        """Whether it can be measured with this extractor on data with this number of classes."""
        return cls.reads in provided(extractor) and not is_of_text(extractor)

    @classmethod
    def lacks(cls, images: Images) -> str | None:
        """What it needs that these images lack; None where they can be measured."""
        if cls.against == "text" and images.captions is None:
            return "the images have no captions"
        return None

    def heading(self, name: str, count: int | None = None) -> str:
        """The title on pages of the number of this name, such as "FID-360 (small)"."""
        return heading(self.title or self.stem.replace("_", " "), count, self.extractor)

    def define(self, name: str, num_images: int, num_sets: int = 1) -> str:
        """The definition of the number of this name, of this many images or sets of them."""
        return self.definition

    def used(self, num_images: int) -> int:
        """How many of ``num_images`` images its numbers are made of."""
        return num_images

    def limits(self, name: str) -> tuple[float, float]:
        """The range of the number of this name and of its interval."""
        return -math.inf, math.inf

    def standard_error(self, name: str) -> float | None:
        """Of the number of this name, from single images; None where blocks of images give it."""
        return None

    def detail(self, name: str) -> dict[str, float]:
        """Parts of the number of this name, of all images so far."""
        return {} if self.dimensions is None else {"dimensions": float(self.dimensions)}

    def beside(self, held_out: dict[str, float]) -> dict[str, float]:
        """Further detail, from that of the held-out images."""
        return {}

    def read(self, features: dict[str, Tensor]) -> Tensor:
        """This metric's feature (B, D).

        Raises:
            ValueError: the extractor does not give it, or not as floats.
        """
        if self.feature not in features:
            raise ValueError(
                f"{self.name} reads the feature '{self.feature}', which {self.extractor} does not "
                f"give; it gives {', '.join(features)}"
            )
        values = features[self.feature]
        if not isinstance(values, Tensor) or not values.is_floating_point():
            got = values.dtype if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"{self.name}: the feature '{self.feature}' must be floats, got {got}")
        return values

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds one batch's features, and what the batch itself says of its images."""
        raise NotImplementedError

    def compute(self) -> dict[str, float]:
        """The numbers of all images so far, by name.

        Raises:
            NotEstimable: there are too few images for it.
        """
        raise NotImplementedError

    def without_each(self, parts: Sequence[Metric]) -> list[dict[str, float]] | None:
        """The numbers of all images but those of each part, where that costs less than pooling.

        Args:
            parts: metrics of disjoint blocks of the images that this one has seen.

        Returns:
            None where there is no cheaper way.
        """
        return None

    def merge_state(self, incoming_state: dict[str, Any] | torchmetrics.Metric) -> None:
        """Adds another instance's states, as if its batches had been given to this one."""
        super().merge_state(incoming_state)
        if isinstance(incoming_state, torchmetrics.Metric):
            self._update_count += incoming_state._update_count
            self._computed = None


def parts_of(state: list[Tensor] | Tensor) -> list[Tensor]:
    """The tensors of a list state, which is one tensor once processes have been gathered."""
    return [state] if isinstance(state, Tensor) else list(state)


class MeanMetric(Metric):
    """The mean over images of a number of each image, which ``of`` computes."""

    total: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self, extractor: str = "", feature: str | None = None) -> None:
        super().__init__(extractor, feature)
        for name in ("total", "squares"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def of(self, features: dict[str, Tensor], images: Images) -> Tensor:
        """The number of each image of a batch, (B,).

        Args:
            features: what the extractor gives, by name; ``read`` picks this metric's.
            images: (B, C, H, W) uint8 pixels, with labels and captions where there are any.
        """
        raise NotImplementedError

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds the numbers of one batch.

        Raises:
            ValueError: ``of`` does not give one number for each image.
        """
        values = self.of(features, images)
        if not isinstance(values, Tensor) or values.shape != (len(images.images),):
            shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(
                f"{self.name}: of() gives one number for each image, ({len(images.images)},), "
                f"got {shape}"
            )
        values = values.double().to(self.device)
        self.total = self.total + values.sum()
        self.squares = self.squares + values.square().sum()
        self.count = self.count + len(values)

    def compute(self) -> dict[str, float]:
        """The mean, under this metric's name."""
        if self.count == 0:
            raise ValueError(f"{self.name}: no image has been seen")
        return {self.name: float(self.total / self.count)}

    def detail(self, name: str) -> dict[str, float]:
        """The standard deviation over images."""
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp(min=0)
        return {**super().detail(name), "deviation": float(variance.sqrt())}
