"""The reference's features, as moments or row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eval.extractor.extractor import Extractor, is_of_text
from eval.measure.plan import Measurement, Plan
from eval.metric.metric import Metric
from eval.metric.rows import mapped
from eval.moments.feature_statistics import FeatureStatistics
from eval.moments.npz import npz_bytes
from eval.result.checksum import check_sealed, replacing_sealed
from eval.source.dataset import from_dataset
from eval.source.reference_set import ReferenceSet
from zoo.data.image_set import ImageSet
from zoo.system.progress import track

ROWS = 10_000
"""Reference images with features row by row, evenly spaced: as many as in ADM's evaluator."""

Key = tuple[str, str]
"""An extractor's name and one of its features."""


@dataclass
class ReferenceFeatures:
    """Features of the reference images, as far as the metrics of a plan read them.

    Attributes:
        plan: the measurements.
        data: the reference itself, for metrics that compare pixels.
        moments: (extractor's name, feature) to statistics.
        rows: (extractor's name, feature) to features (M, D), memory-mapped.
    """

    plan: Plan
    data: ReferenceSet | None = None
    moments: dict[Key, FeatureStatistics] = field(default_factory=dict)
    rows: dict[Key, Tensor] = field(default_factory=dict)
    _parts: dict[Key, list[Tensor]] = field(default_factory=dict)

    def needs(self, extractor: Extractor) -> dict[str, set[str]]:
        """What is needed of this extractor: feature to "statistics", "rows" or both."""
        needed: dict[str, set[str]] = {}
        for measurement in self.plan.against("statistics", "rows"):
            if measurement.extractor is extractor:
                kind = measurement.kind
                needed.setdefault(kind.reads or "", set()).add(kind.against)
        return needed

    def measure(self, extractors: Sequence[Extractor], images: ImageSet, batch_size: int) -> None:
        """Runs images through extractors, once each, and keeps the features that are needed."""
        first, total = 0, -(-len(images) // batch_size)
        batches = from_dataset(images, batch_size) if extractors else ()
        for batch in track(batches, total, "features of the reference", "batches"):
            for extractor in extractors:
                self.update(extractor, extractor(batch.images), first, len(images))
            first += len(batch.images)
        self.rows |= {key: mapped(parts) for key, parts in self._parts.items()}
        self._parts = {}

    def update(
        self, extractor: Extractor, features: dict[str, Tensor], first: int, total: int
    ) -> None:
        """Adds the features of reference images ``first`` and following, of ``total``."""
        for feature, kinds in self.needs(extractor).items():
            key, values = (extractor.name, feature), features[feature]
            if "statistics" in kinds:
                self.moments.setdefault(key, FeatureStatistics()).update(values)
            if "rows" in kinds:
                spaced = torch.linspace(0, total - 1, min(total, ROWS), dtype=torch.float64)
                spaced = spaced.round().long() - first
                spaced = spaced[(spaced >= 0) & (spaced < len(values))]
                self._parts.setdefault(key, []).append(values[spaced].float())

    def read(self, extractors: Sequence[Extractor], shape: Sequence[int] | None) -> None:
        """Takes moments from the data's statistics file, and rows from the images it may hold.

        Args:
            extractors: whose features the file should have.
            shape: (C, H, W) of the images to be compared, or None: dimensions are checked.

        Raises:
            ValueError: the file is of another network or dimension.
        """
        assert self.data is not None and self.data.statistics is not None
        for extractor in extractors:
            needed, sizes = self.needs(extractor), {}
            if shape is not None and needed:
                blank = torch.zeros(1, *shape, dtype=torch.uint8)
                sizes = {name: values.shape[1] for name, values in extractor(blank).items()}
            for feature, kinds in needed.items():
                if "statistics" in kinds:
                    moments = self.data.statistics.moments(extractor, feature, sizes.get(feature))
                    self.moments[extractor.name, feature] = moments
        if by_row := self.plan.against("rows"):
            assert self.data.train is not None
            rows = ReferenceFeatures(self.plan.only(by_row))
            rows.measure(rows.plan.extractors, self.data.train, 256)
            self.rows = rows.rows

    def save(self, extractor: Extractor, folder: Path) -> None:
        """Writes an extractor's features to a folder, for ``load``.

        Raises:
            OSError: they cannot be written.
        """
        for feature, kinds in self.needs(extractor).items():
            key = (extractor.name, feature)
            if "statistics" in kinds:
                with replacing_sealed(folder / f"{feature}.npz") as part:
                    part.write_bytes(npz_bytes(self.moments[key].arrays()))
            if "rows" in kinds:
                with replacing_sealed(folder / f"{feature}.npy") as part, open(part, "wb") as file:
                    np.save(file, self.rows[key].numpy())

    def load(self, extractor: Extractor, folder: Path) -> None:
        """Reads an extractor's features from a folder.

        Raises:
            ValueError: a file is damaged, edited or in another's place; it is named.
            OSError: a file is absent or cannot be read.
        """
        moments, rows = {}, {}
        for feature, kinds in self.needs(extractor).items():
            key = (extractor.name, feature)
            if "statistics" in kinds:
                moments[key] = FeatureStatistics.load(_checked(folder / f"{feature}.npz"))
            if "rows" in kinds:
                # copy on write: torch takes no read-only array without a warning
                array = np.load(_checked(folder / f"{feature}.npy"), mmap_mode="c")
                rows[key] = torch.from_numpy(array)
        self.moments |= moments
        self.rows |= rows

    def fresh(self, measurement: Measurement) -> Metric:
        """An empty metric."""
        kind, extractor, factory = measurement.kind, measurement.extractor, measurement.factory
        if kind.against == "pixels":
            assert self.data is not None
            return factory(reference=self.data.train, flip=self.data.flip)
        if extractor is None:
            return factory()
        key = (extractor.name, kind.reads or "")
        if kind.against == "statistics":
            return factory(reference=self.moments[key], extractor=extractor.name)
        if kind.against == "rows":
            return factory(reference=self.rows[key], extractor=extractor.name)
        if kind.against == "text":
            assert is_of_text(extractor)
            return factory(text=extractor.text, extractor=extractor.name)
        return factory(extractor=extractor.name)


def _checked(path: Path) -> Path:
    try:
        check_sealed(path)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    return path
