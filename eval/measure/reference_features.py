"""What metrics compare with: the reference's features, as moments or row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.measure.plan import Entry
from eval.metric.metric import Metric
from eval.metric.rows import mapped
from eval.moments.feature_statistics import FeatureStatistics
from zoo.system.files import replacing

ROWS = 10_000
"""Reference images whose features are kept row by row, evenly spaced: as many as in ADM's."""

Key = tuple[str, str]


@dataclass
class Reference:
    """Features of the reference images, as far as the metrics of a line-up read them.

    Attributes:
        entries: the line-up.
        fid: extractors whose pooled features' moments are needed in any case.
        moments: (extractor's name, feature) to statistics.
        rows: (extractor's name, feature) to features (M, D), memory-mapped.
    """

    entries: Sequence[Entry]
    fid: Sequence[Any] = ()
    moments: dict[Key, FeatureStatistics] = field(default_factory=dict)
    rows: dict[Key, Tensor] = field(default_factory=dict)
    _parts: dict[Key, list[Tensor]] = field(default_factory=dict)

    def needs(self, extractor: Any) -> dict[str, set[str]]:
        """What is needed of this extractor: feature to "statistics", "rows" or both."""
        found: dict[str, set[str]] = {}
        if any(one.name == extractor.name for one in self.fid):
            found["pool"] = {"statistics"}
        for entry in self.entries:
            if entry.extractor.name != extractor.name:
                continue
            if entry.kind.against in ("statistics", "rows"):
                found.setdefault(entry.kind.reads, set()).add(entry.kind.against)
        return found

    def update(self, extractor: Any, features: dict[str, Tensor], first: int, total: int) -> None:
        """Adds the features of reference images ``first`` and following, of ``total``."""
        for feature, kinds in self.needs(extractor).items():
            key, values = (extractor.name, feature), features[feature]
            if "statistics" in kinds:
                self.moments.setdefault(key, FeatureStatistics()).update(values)
            if "rows" in kinds:
                kept = torch.linspace(0, total - 1, min(total, ROWS), dtype=torch.float64)
                kept = kept.round().long() - first
                kept = kept[(kept >= 0) & (kept < len(values))]
                self._parts.setdefault(key, []).append(values[kept].float())

    def finish(self) -> None:
        """Maps the kept rows."""
        self.rows |= {key: mapped(parts) for key, parts in self._parts.items()}
        self._parts = {}

    def save(self, extractor: Any, folder: Path) -> None:
        """Keeps an extractor's features in a folder; ``load`` finds them."""
        folder.mkdir(parents=True, exist_ok=True)
        for feature, kinds in self.needs(extractor).items():
            key = (extractor.name, feature)
            if "statistics" in kinds:
                with replacing(folder / f"{feature}.npz") as part:
                    self.moments[key].save(part)
            if "rows" in kinds:
                with replacing(folder / f"{feature}.npy") as part, open(part, "wb") as file:
                    np.save(file, self.rows[key].numpy())

    def load(self, extractor: Any, folder: Path) -> bool:
        """Takes an extractor's features from a folder; False where one is missing or torn."""
        moments, rows = {}, {}
        try:
            for feature, kinds in self.needs(extractor).items():
                key = (extractor.name, feature)
                if "statistics" in kinds:
                    moments[key] = FeatureStatistics.load(folder / f"{feature}.npz")
                if "rows" in kinds:
                    # copy on write: torch takes no read-only array without a warning
                    array = np.load(folder / f"{feature}.npy", mmap_mode="c")
                    rows[key] = torch.from_numpy(array)
        except (OSError, ValueError, EOFError):
            return False
        self.moments |= moments
        self.rows |= rows
        return True

    def fresh(self, entry: Entry) -> Metric:
        """A metric that has seen nothing yet."""
        name = entry.extractor.name
        if entry.kind.against == "statistics":
            return entry.factory(reference=self.moments[entry.key], extractor=name)
        if entry.kind.against == "rows":
            return entry.factory(reference=self.rows[entry.key], extractor=name)
        if entry.kind.against == "text":
            return entry.factory(text=entry.extractor.text, extractor=name)
        return entry.factory(extractor=name)
