"""``zoo statistics``: the moments of a reference set's features, as a file to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo import entry


def main(argv: Sequence[str] | None = None) -> None:
    """The verb."""
    entry.run("statistics", "statistics", "eval.verbs:statistics", argv)


def write(path: Path, images: Any, extractor: Any, name: str, batch_size: int = 256) -> Path:
    """Measures images and writes their moments, with what they were made of.

    Args:
        path: of the npz.
        images: a split of a data set, or ``StoredImages``.
        extractor: whose features; spatial ones too, where it gives them.
        name: of the images, for the record.
        batch_size: images at a time.
    """
    from eval import statistics_file
    from eval.feature_statistics import FeatureStatistics
    from eval.images import from_dataset
    from eval.metric.metric import provided
    from zoo.progress import track
    from zoo.versions import versions

    kinds = [kind for kind in ("pool", "spatial") if kind in provided(extractor)]
    found: dict[str, Any] = {kind: FeatureStatistics() for kind in kinds}
    total = -(-len(images) // batch_size)
    batches = from_dataset(images, batch_size)
    for batch in track(batches, total, f"{extractor.name}: {name}", "batches"):
        features = extractor(batch.images)
        for kind, statistics in found.items():
            statistics.update(features[kind])
    facts = {
        "images": {"name": name, "count": len(images), "fingerprint": images.fingerprint},
        "extractor": {
            "name": extractor.name,
            "sha256": extractor.sha256,
            "resize": str(extractor.resize),
        },
        "versions": versions(),
    }
    return statistics_file.write(path, found, facts)


if __name__ == "__main__":
    main()
