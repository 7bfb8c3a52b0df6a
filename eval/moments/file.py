"""Published moments of a reference set's features: ``mu`` and ``sigma`` in an ``.npz``.

pytorch-fid, clean-fid and EDM publish these two; ADM's evaluator adds those of spatial features
(``mu_s``, ``sigma_s``) and some reference images (``arr_0``). The zoo's own files say too what they
were made of and with which network, and are refused where another network is asked for.
"""

from __future__ import annotations

import io
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eval.moments.feature_statistics import FeatureStatistics
from eval.moments.npz import npz_names
from zoo.checkpoint import sha256
from zoo.system.files import write_atomically


def is_statistics(path: Path) -> bool:
    """Whether a file is an npz that holds moments."""
    return path.suffix == ".npz" and path.is_file() and {"mu", "sigma"} <= set(npz_names(path))


class StatisticsFile:
    """Moments of a reference; the file is read when they are asked for.

    Args:
        path: of the npz.

    Raises:
        ValueError: it is no such file.
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
        """What the file says of itself; empty for one that was made elsewhere."""
        if "facts" not in self.names:
            return {}
        with np.load(self.path, allow_pickle=False) as arrays:
            found: dict[str, Any] = json.loads(str(arrays["facts"]))
        return found

    @cached_property
    def count(self) -> int | None:
        """Of how many images, where the file says so."""
        return self.moments(None).count

    def moments(self, extractor: Any, feature: str = "pool", size: int | None = None) -> Any:
        """The statistics of one feature.

        Args:
            extractor: whose features they should be; not checked when None.
            feature: "pool" or "spatial".
            size: the feature's dimensions, where they are known.

        Raises:
            ValueError: the file is of another network or dimension, or has not this feature.
        """
        made_by = self.facts.get("extractor")
        if extractor is not None and made_by is not None:
            asked = {"name": extractor.name, "sha256": extractor.sha256}
            asked["resize"] = str(extractor.resize)
            known = {key: made_by.get(key) for key in asked}
            differing = [key for key in asked if asked[key] != known[key]]
            if differing:
                told = ", ".join(f"{k} {known[k]} in place of {asked[k]}" for k in differing)
                raise ValueError(
                    f"{self.path} holds features of another network: {told}; choose the extractor "
                    f"that made them, {known['name']}, or make statistics anew with "
                    "`zoo statistics`"
                )
        found = FeatureStatistics.load(self.path, feature)
        if size is not None and found.dimensions != size:
            raise ValueError(
                f"{self.path} holds features of {found.dimensions} dimensions, "
                f"{getattr(extractor, 'name', 'the extractor')} gives {size}: choose the extractor "
                "that made them with extractor=[...]"
            )
        return found

    def has(self, feature: str) -> bool:
        """Whether it holds moments of this feature."""
        return {"pool": "mu", "spatial": "mu_s"}.get(feature, feature) in self.names


def write(path: Path, moments: dict[str, FeatureStatistics], facts: dict[str, Any]) -> Path:
    """Writes a file that the zoo, pytorch-fid, clean-fid, EDM and ADM's evaluator read.

    Args:
        path: of the npz.
        moments: of "pool", and of "spatial" where there are such features.
        facts: what it is made of; its ``extractor`` has ``name`` and ``sha256``.
    """
    arrays: dict[str, Any] = {"facts": np.array(json.dumps(facts, sort_keys=True))}
    for feature, statistics in moments.items():
        suffix = {"pool": "", "spatial": "_s"}[feature]
        arrays[f"mu{suffix}"] = statistics.mean.numpy()
        arrays[f"sigma{suffix}"] = statistics.covariance.numpy()
        if statistics.count is not None:
            arrays["count"] = np.array(statistics.count)
        if feature == "pool" and (centred := statistics.centred) is not None:
            arrays["centred"] = centred.numpy()
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return write_atomically(path, buffer.getvalue())
