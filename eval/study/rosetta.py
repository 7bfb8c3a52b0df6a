"""``zoo rosetta``: one set of images under every available FID protocol, and their spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import DictConfig

from eval.extractor.extractor import Extractor
from eval.metric.frechet import frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from eval.source import ReferenceSet, open_images
from eval.source.dataset import order_of
from eval.source.generated import conditions_of, generated
from eval.study import loading
from eval.study import protocol as protocols
from eval.study.evaluation import chosen_parts
from zoo.data import ImageData
from zoo.data.image_set import ImageSet
from zoo.system.device import accelerator
from zoo.system.files import write_atomically
from zoo.system.progress import track
from zoo.system.text import markdown_items, markdown_table


class Reading(NamedTuple):
    """The Fréchet distance by one protocol.

    Attributes:
        extractor: its name.
        resize: how images reached it.
        reference: the split compared with, and its number of images.
        num_images: the first ``num_images`` images were used.
        distance: the number.
    """

    extractor: str
    resize: str
    reference: str
    num_images: int
    distance: float


def rosetta(cfg: DictConfig) -> Path:
    """``zoo rosetta``: writes rosetta.md, and prints it."""
    if (cfg.checkpoint is None) == (cfg.images is None):
        raise ValueError("give images=FOLDER, or checkpoint=FILE")
    path = None if cfg.checkpoint is None else loading.one_file(cfg.checkpoint, cfg.ema)
    protocol, device = protocols.flattened(cfg), accelerator(cfg.device)
    data = loading.reference_set(cfg, protocol)
    available, absent = [], {}
    for name, node in (cfg.get("extractor") or {}).items():
        try:
            extractor = loading.extractor(node, device)
            if data.statistics is not None:
                data.statistics.moments(extractor)  # refuses those of another network
            available.append(extractor)
        except ValueError as error:
            absent[name] = str(error)
    if not available:
        raise ValueError("no protocol is available: " + "; ".join(absent.values()))
    if path is None:
        images = open_images(cfg.images, data.shape)
    else:
        trust = list(cfg.trust)
        module = loading.diffusion_model(path, device, trust, protocol["dtype"])
        parts, count, seed = chosen_parts(cfg, module), cfg.num_images, protocol["seed"]
        guidance, labels = parts["guidance"], protocol["labels"]
        conditions = conditions_of(module, data, count, guidance, labels, seed)
        batches = generated(module, conditions, count, seed, cfg.batch_size, **parts)
        images = ImageSet(torch.cat([batch.images for batch in batches]))
    text = to_markdown(readings(images, data, available, cfg.batch_size), absent)
    print(text, end="")
    return write_atomically(Path(cfg.run_dir) / "rosetta.md", text)


def readings(
    images: ImageSet,
    data: ImageData | ReferenceSet,
    extractors: Sequence[Extractor],
    batch_size: int = 256,
) -> list[Reading]:
    """Every extractor against both splits, with all images and with the first half of them.

    Of a CLIP the image tower is used (CLIP-FID).

    Raises:
        ValueError: fewer than four images, or of another shape than the data's.
    """
    data = ReferenceSet.of(data)
    if len(images) < 4 or (data.shape is not None and images.shape != tuple(data.shape)):
        raise ValueError(
            f"at least 4 images of shape {data.shape} are needed, got {len(images)} of "
            f"{images.shape}"
        )
    distances = []
    half = len(images) // 2
    for extractor in extractors:
        first = _statistics(extractor, images, "images", batch_size, slice(half))
        whole = _statistics(extractor, images, "images", batch_size, slice(half, None))
        whole.merge(first)
        for name, reference in _references(data, extractor, whole.dimensions, batch_size):
            for part in (whole, first):
                distance, count = frechet_distance(part, reference), part.count or 0
                reading = Reading(extractor.name, extractor.resize, name, count, distance)
                distances.append(reading)
    return distances


def _references(
    data: ReferenceSet, extractor: Extractor, size: int, batch_size: int
) -> Iterator[tuple[str, FeatureStatistics]]:
    """The references' names and statistics."""
    if data.statistics is not None:
        yield data.statistics.path.name, data.statistics.moments(extractor, size=size)
        return
    for name, split in ((data.reference, data.train), (data.held_out, data.test)):
        if split is not None:
            statistics = _statistics(extractor, split, name, batch_size)
            yield f"{name}, {len(split):,} images", statistics


def _statistics(
    extractor: Extractor, images: ImageSet, name: str, batch_size: int, part: slice = slice(None)
) -> FeatureStatistics:
    statistics = FeatureStatistics()
    batches = order_of(images)[part].split(batch_size)
    for indices in track(batches, description=f"{extractor.name}: {name}", unit="batches"):
        statistics.update(extractor(images.gather(indices))["pool"])
    return statistics


def to_markdown(readings: Sequence[Reading], absent: dict[str, str]) -> str:
    """The numbers, their spread, and the protocols that are not available."""
    heads = ["FID", "network", "resize", "against", "of images"]
    rows = [
        [f"{r.distance:.4g}", r.extractor, r.resize, r.reference, f"{r.num_images:,}"]
        for r in readings
    ]
    distances = [reading.distance for reading in readings]
    lines = [
        markdown_table(heads, rows),
        "",
        f"One set of images, {len(readings)} numbers from {min(distances):.4g} to "
        f"{max(distances):.4g}: a FID is meaningful only together with its network, resize, "
        "reference and count.",
    ]
    if absent:
        reasons = [f"{name}: {why}" for name, why in absent.items()]
        lines += ["", "Not available:", "", *markdown_items(reasons)]
    return "\n".join(lines) + "\n"
