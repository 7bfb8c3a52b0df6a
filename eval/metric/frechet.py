"""FID and its relatives: the Fréchet distance of features to a reference (arXiv:1706.08500)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torchmetrics
from torch import Tensor

from eval.extractor.extractor import Extractor, is_of_text, provided
from eval.metric.metric import Metric, parts_of
from eval.moments.feature_statistics import FeatureStatistics
from eval.moments.frechet import frechet_distance as frechet_distance
from eval.moments.leave_out import distances_without_each
from eval.moments.triangle import add_products, scatter_length
from eval.result.heading import heading
from eval.source.batch import Images

_ROWS = 1024  # features gathered before a product, as in FeatureStatistics
DINO = "dinov2"
"""How extractors are named whose Fréchet distance has a name of its own."""


class FrechetDistance(Metric):
    """The Fréchet distance of the images to a reference, called FID unless it has another name.

    The states are sums of the features less the reference's mean, so that nothing large cancels.
    At 2,048 dimensions they take 18 MiB, and up to 16 MiB more hold features that are not summed
    yet; ten blocks of a jackknife take 180 to 340 MiB, whatever the number of images.

    ``reference`` is the statistics of the extractor's ``feature`` in the set to compare with.
    """

    stem, title = "fid", "FID"
    against = "statistics"
    definition = "Fréchet distance between Gaussians fitted to the features of both sets"
    higher_is_better = False
    optional = True
    per_count = True
    distance = True
    first: Tensor
    second: Tensor  # as eval.moments.triangle keeps it
    summed: Tensor
    rows: list[Tensor] | Tensor  # one tensor where processes have been gathered

    def __init__(
        self, reference: FeatureStatistics, extractor: str, feature: str | None = None
    ) -> None:
        super().__init__(extractor, feature)
        self.reference = reference
        size = reference.dimensions
        self.add_state("summed", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("first", torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")
        zero = torch.zeros(1, dtype=torch.float64)
        self.add_state("second", zero, dist_reduce_fx="sum")
        # memory is allocated when something is added, and none for the state after a reset
        self.second = self._defaults["second"] = zero.expand(scatter_length(size))
        self.add_state("rows", [], dist_reduce_fx="cat")

    @property
    def dimensions(self) -> int:
        """The length of a feature."""
        return self.reference.dimensions

    def heading(self, name: str, count: int | None = None) -> str:
        if self.stem == "fid" and self.extractor.startswith(DINO):  # FID is Inception's by name
            return heading("FD-DINOv2", count, self.extractor.removeprefix(DINO) and self.extractor)
        return super().heading(name, count)

    def limits(self, name: str) -> tuple[float, float]:
        return 0.0, math.inf

    def define(self, name: str, num_images: int, num_sets: int = 1) -> str:
        if not self.per_count:
            return self.definition
        count = self.reference.count
        return (
            f"Fréchet distance, with the features of the network '{self.extractor}': how far "
            f"{num_images} images{_mean_of(num_sets)} are, as a set, from "
            f"{'the' if count is None else f'{count:,}'} reference images, in average look and in "
            "variety. 0 would be the same distribution. It falls as sets grow, so only equal "
            f"counts are comparable.{self._of_too_few(num_images)}"
        )

    def _of_too_few(self, num_images: int) -> str:
        if num_images > self.dimensions:
            return ""
        return (
            f" Note: {num_images} images cannot fill the {self.dimensions} dimensions of these "
            "features, so a part of the comparison is unknown; FID means little below that count."
        )

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds the features of one batch."""
        values = self.read(features).detach()
        if values.ndim != 2 or values.shape[1] != self.reference.dimensions:
            raise ValueError(
                f"{self.name}: features are (B, {self.reference.dimensions}) like the reference's, "
                f"got {tuple(values.shape)}"
            )
        if not values.isfinite().all():
            raise ValueError(f"{self.name}: features with NaN or infinite values")
        self.rows = [*parts_of(self.rows), values.to(self.device, copy=True)]
        # Kept while they are few: see FeatureStatistics.
        if sum(map(len, self.rows)) > max(_ROWS, self.reference.dimensions):
            self._sum_up()

    def merge_state(self, incoming_state: dict[str, Any] | torchmetrics.Metric) -> None:
        """Adds another instance's states; where it has sums already, its rows join them first."""
        if isinstance(incoming_state, FrechetDistance) and incoming_state.summed:
            incoming_state._sum_up()  # once, rather than in everything it is merged into
        super().merge_state(incoming_state)

    def statistics(self) -> FeatureStatistics:
        """The statistics of all images so far."""
        statistics = FeatureStatistics()
        if self.summed > 1:
            count, first, scatter = int(self.summed), self.first.cpu(), self.second.cpu().clone()
            add_products(scatter, first[None], scale=-1 / count)
            mean = self.reference.mean + first / count
            statistics = FeatureStatistics.from_sums(mean, scatter, count)
        for rows in parts_of(self.rows):
            statistics.update(rows)
        return statistics

    def _sum_up(self) -> None:
        """Moves the kept rows into the sums."""
        parts = parts_of(self.rows)
        if not parts:
            return
        rows = torch.cat(parts).double()
        rows -= self.reference.mean.to(rows.device)
        self.rows = []
        self.first += rows.sum(dim=0)
        self.second = self.second.contiguous()
        add_products(self.second, rows)
        self.summed += len(rows)

    def compute(self) -> dict[str, float]:
        """The distance, under this metric's name."""
        return {self.name: frechet_distance(self.statistics(), self.reference)}

    def without_each(self, parts: Sequence[Metric]) -> list[dict[str, float]] | None:
        """As in the base: the value, moved by what each block moves it."""
        statistics = [part.statistics() for part in parts if isinstance(part, FrechetDistance)]
        value = self.compute()[self.name]
        whole, without = distances_without_each(statistics, self.reference)
        return [{self.name: max(0.0, value + distance - whole)} for distance in without]


def _mean_of(num_sets: int) -> str:
    return f", the mean of {num_sets} disjoint sets" if num_sets > 1 else ""


class SpatialFrechetDistance(FrechetDistance):
    """sFID (arXiv:2103.03841), of spatial features, which know where in the image things are."""

    stem, title = "sfid", "sFID"
    optional = per_count = False
    definition = (
        "Fréchet distance of spatial features: like FID, but of where things are in an image, not "
        "of what they are."
    )
    reads = "spatial"
    needs = "an extractor with spatial features (inception)"


class ClipFrechetDistance(FrechetDistance):
    """The Fréchet distance of a CLIP's image features; clean-fid's is OpenAI's ViT-B/32.

    The features are those that captions are compared with, not normalised. ``OpenClip`` prepares
    images as OpenAI and clean-fid do.
    """

    stem, title = "clip_fid", "CLIP-FID"
    optional = per_count = False
    definition = (
        "Fréchet distance, with the image features of a CLIP: like FID, but with a network that "
        "learned from captions instead of ImageNet's classes. It falls as sets grow."
    )
    needs = "the image tower of a CLIP (clip_b32, open_clip, small_clip)"

    @classmethod
    def suits(cls, extractor: Extractor, num_classes: int | None) -> bool:
        return is_of_text(extractor) and cls.reads in provided(extractor)
