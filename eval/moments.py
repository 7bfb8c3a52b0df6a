"""``zoo statistics``: the moments of a reference set's features, as a file to compare with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import entry

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(argv: Sequence[str] | None = None) -> None:
    """The verb."""
    entry.run("statistics", "statistics", "eval.moments:make", argv)


def make(cfg: DictConfig) -> list[Path]:
    """Writes an npz for each extractor, named by what it is made of.

    Raises:
        ValueError: there are no such images or extractors.
    """
    from eval import verbs
    from eval.stored import stored
    from zoo.device import accelerator

    device = accelerator(cfg.device)
    extractors = [verbs.extractor(node, device) for node in (cfg.get("extractor") or {}).values()]
    if not extractors:
        raise ValueError("extractor=[] leaves nothing to measure with")
    if cfg.images is not None:
        images: Any = stored(cfg.images)
        name = Path(cfg.images).stem
    elif cfg.split in verbs.SPLITS:
        data = verbs.dataset(cfg)
        images, name = getattr(data, cfg.split), f"{data.name}-{cfg.split}"
    else:
        raise ValueError(f"split is one of {', '.join(verbs.SPLITS)}, got {cfg.split!r}")
    written = []
    for extractor in extractors:
        path = Path(cfg.run_dir) / f"{name}-{re.sub('[^A-Za-z0-9_-]+', '-', extractor.name)}.npz"
        written.append(write(path, images, extractor, name, cfg.batch_size))
        print(
            f"wrote {path}: compare with it by `zoo evaluate ... reference={path} "
            f"extractor=[{_choice(cfg, len(written) - 1)}]`"
        )
    return written


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


def _choice(cfg: DictConfig, index: int) -> str:
    """The config group's name of an extractor."""
    return list(cfg.extractor)[index]


if __name__ == "__main__":
    main()
