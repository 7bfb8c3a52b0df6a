"""What metrics compare with: the training split's features, as moments or row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from eval.feature_statistics import FeatureStatistics
from eval.lineup import Entry
from eval.metric.metric import Metric
from eval.metric.rows import mapped

ROWS = 10_000
"""Training images whose features are kept row by row, evenly spaced: as many as ADM's reference."""


@dataclass
class Reference:
    """Features of the training split, as far as the metrics of a line-up read them.

    Attributes:
        entries: the line-up.
        moments: (extractor's name, feature) to statistics.
        rows: (extractor's name, feature) to features (M, D), memory-mapped.
    """

    entries: Sequence[Entry]
    moments: dict[tuple[str, str], FeatureStatistics] = field(default_factory=dict)
    rows: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    _parts: dict[tuple[str, str], list[Tensor]] = field(default_factory=dict)

    def reads(self, extractor: Any) -> bool:
        """Whether any metric needs this extractor's features of the training split."""
        return any(
            entry.extractor.name == extractor.name and entry.kind.against != "nothing"
            for entry in self.entries
        )

    def update(self, extractor: Any, features: dict[str, Tensor], first: int, total: int) -> None:
        """Adds the features of training images ``first`` and following, of ``total``."""
        for key in {e.key for e in self.entries if e.extractor.name == extractor.name}:
            kinds = {entry.kind.against for entry in self.entries if entry.key == key}
            values = features[key[1]]
            if "statistics" in kinds:
                self.moments.setdefault(key, FeatureStatistics()).update(values)
            if "rows" in kinds:
                kept = torch.linspace(0, total - 1, min(total, ROWS), dtype=torch.float64)
                kept = kept.round().long() - first
                kept = kept[(kept >= 0) & (kept < len(values))]
                self._parts.setdefault(key, []).append(values[kept].float())

    def finish(self) -> None:
        """Maps the kept rows."""
        self.rows = {key: mapped(parts) for key, parts in self._parts.items()}
        self._parts = {}

    def fresh(self, entry: Entry) -> Metric:
        """A metric that has seen nothing yet."""
        name = entry.extractor.name
        if entry.kind.against == "statistics":
            return entry.factory(reference=self.moments[entry.key], extractor=name)
        if entry.kind.against == "rows":
            return entry.factory(reference=self.rows[entry.key], extractor=name)
        return entry.factory(extractor=name)
