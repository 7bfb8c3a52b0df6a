"""Published moments of a reference set's features: ``mu`` and ``sigma`` in an ``.npz``.

pytorch-fid, clean-fid and EDM publish these two; ADM's evaluator adds those of spatial features
(``mu_s``, ``sigma_s``) and some reference images (``arr_0``). The zoo's own files also record the
images and the network that they were made of, and are refused for another network.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from eval.moments.feature_statistics import FeatureStatistics
from eval.moments.npz import SUFFIXES, npz_bytes, npz_names
from zoo.checkpoint import sha256
from zoo.system.files import write_atomically


class FeatureSource(Protocol):
    """What identifies the network behind features, as an extractor does."""

    name: str
    sha256: str
    resize: str


def is_statistics(path: Path) -> bool:
    """Whether a file is an npz that holds moments."""
    return path.suffix == ".npz" and path.is_file() and {"mu", "sigma"} <= set(npz_names(path))


class StatisticsFile:
    """Moments of a reference in an npz, which is read when they are needed.

    Raises:
        ValueError: the file at ``path`` has no moments.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.names = npz_names(self.path)
        if not {"mu", "sigma"} <= set(self.names):
            raise ValueError(
                f"{path}: needs arrays mu and sigma, has {', '.join(self.names)}; `zoo statistics` "
                "makes such a file"
            )

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the file."""
        return sha256(self.path)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the file records of its origin; empty for one that was made elsewhere."""
        if "facts" not in self.names:
            return {}
        with np.load(self.path, allow_pickle=False) as arrays:
            facts: dict[str, Any] = json.loads(str(arrays["facts"]))
        return facts

    @cached_property
    def count(self) -> int | None:
        """The number of images, or None where the file does not say."""
        return self.moments(None).count

    def moments(
        self, extractor: FeatureSource | None, feature: str = "pool", size: int | None = None
    ) -> FeatureStatistics:
        """The statistics of one feature.

        Args:
            extractor: whose features they should be; not checked when None.
            feature: "pool" or "spatial".
            size: the feature's dimensions, where they are known.

        Raises:
            ValueError: the file is of another network or dimension, or lacks this feature.
        """
        recorded = self.facts.get("extractor")
        if extractor is not None and recorded is not None:
            expected = {"name": extractor.name, "sha256": extractor.sha256}
            expected["resize"] = str(extractor.resize)
            mismatches = ", ".join(
                f"{key} {recorded.get(key)} in place of {value}"
                for key, value in expected.items()
                if recorded.get(key) != value
            )
            if mismatches:
                raise ValueError(
                    f"{self.path} holds features of another network: {mismatches}; choose the "
                    f"extractor that made them, {recorded.get('name')}, or make statistics again "
                    "with `zoo statistics`"
                )
        statistics = FeatureStatistics.load(self.path, feature)
        if size is not None and statistics.dimensions != size:
            raise ValueError(
                f"{self.path} holds features of {statistics.dimensions} dimensions, "
                f"{getattr(extractor, 'name', 'the extractor')} gives {size}: choose the extractor "
                "that made them with extractor=[...]"
            )
        return statistics

    def has(self, feature: str) -> bool:
        """Whether it holds moments of this feature."""
        return f"mu{SUFFIXES[feature]}" in self.names if feature in SUFFIXES else False


def write_statistics(
    path: Path, moments: dict[str, FeatureStatistics], facts: dict[str, Any]
) -> Path:
    """Writes a file that the zoo, pytorch-fid, clean-fid, EDM and ADM's evaluator read.

    Args:
        path: of the npz.
        moments: of "pool", and of "spatial" where there are such features.
        facts: its origin; ``facts["extractor"]`` has ``name`` and ``sha256``.
    """
    arrays = {"facts": np.array(json.dumps(facts, sort_keys=True))}
    for feature, statistics in moments.items():
        arrays |= statistics.arrays(feature)
    return write_atomically(path, npz_bytes(arrays))
