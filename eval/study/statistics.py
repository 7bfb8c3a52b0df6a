"""``zoo statistics``: the moments of a reference set's features, as a file to compare with."""

from __future__ import annotations

import re
from pathlib import Path

from omegaconf import DictConfig

from eval.extractor.extractor import Extractor, provided
from eval.measure.setting import resize_of
from eval.moments.feature_statistics import FeatureStatistics
from eval.moments.file import write_statistics
from eval.source.dataset import from_dataset
from eval.source.reference_set import SPLITS
from eval.source.stored import open_images
from eval.study import loading
from zoo.data.image_set import ImageSet
from zoo.data.picture import DECODING
from zoo.system.device import accelerator
from zoo.system.progress import track
from zoo.system.versions import versions


def statistics(cfg: DictConfig) -> list[Path]:
    """``zoo statistics``: writes an npz for each extractor, named after images and extractor.

    Raises:
        ValueError: there are no such images or extractors.
    """
    device = accelerator(cfg.device)
    nodes = cfg.get("extractor") or {}
    extractors = {name: loading.extractor(node, device) for name, node in nodes.items()}
    if not extractors:
        raise ValueError("extractor=[] leaves nothing to measure with")
    if cfg.images is not None:
        images = open_images(cfg.images)
        name = Path(cfg.images).stem
    elif cfg.split in SPLITS:
        data = loading.dataset(cfg)
        images, name = getattr(data, cfg.split), f"{data.name}-{cfg.split}"
    else:
        raise ValueError(f"split is one of {', '.join(SPLITS)}, got {cfg.split!r}")
    written = []
    for choice, extractor in extractors.items():
        path = Path(cfg.run_dir) / f"{name}-{re.sub('[^A-Za-z0-9_-]+', '-', extractor.name)}.npz"
        written.append(measure_moments(path, images, extractor, name, cfg.batch_size))
        print(
            f"wrote {path}: compare with it by `zoo evaluate ... reference={path} "
            f"extractor=[{choice}]`"
        )
    return written


def measure_moments(
    path: Path, images: ImageSet, extractor: Extractor, name: str, batch_size: int = 256
) -> Path:
    """Measures images and writes their moments, with a record of their origin.

    Args:
        path: of the npz.
        images: a split of a data set, or stored images.
        extractor: of the features; spatial ones are included where it provides them.
        name: of the images, for the record.
        batch_size: images at a time.
    """
    kinds = [kind for kind in ("pool", "spatial") if kind in provided(extractor)]
    moments: dict[str, FeatureStatistics] = {kind: FeatureStatistics() for kind in kinds}
    total = -(-len(images) // batch_size)
    batches = from_dataset(images, batch_size)
    for batch in track(batches, total, f"{extractor.name}: {name}", "batches"):
        features = extractor(batch.images)
        for kind, statistics in moments.items():
            statistics.update(features[kind])
    facts = {
        "images": {
            "name": name,
            "count": len(images),
            "fingerprint": images.fingerprint,
            "decoding": DECODING,
        },
        "extractor": {
            "name": extractor.name,
            "sha256": extractor.sha256,
            "resize": resize_of(extractor),
        },
        "versions": versions(),
    }
    return write_statistics(path, moments, facts)
