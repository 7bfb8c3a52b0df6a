"""``zoo rosetta``: one set of images under every FID protocol at hand, and how far they spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import DictConfig

from eval.extractor.extractor import Extractor
from eval.metric.frechet import frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from eval.source.dataset import order_of
from eval.source.generated import conditions, generated
from eval.source.reference_set import ReferenceSet
from eval.source.stored import open_images
from eval.study import loading, protocol
from eval.study.evaluation import chosen_parts
from zoo.checkpoint.published import checkpoint_file
from zoo.data import ImageData
from zoo.data.image_set import ImageSet
from zoo.system.device import accelerator
from zoo.system.files import write_atomically
from zoo.system.progress import track
from zoo.system.text import markdown_table


class Row(NamedTuple):
    """The number of one protocol.

    Attributes:
        extractor: its name.
        resize: how images reached it.
        reference: the split compared with, and its number of images.
        num_images: how many of the images were used: the first ones.
        distance: the Fréchet distance.
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
    asked, device = protocol.flattened(cfg), accelerator(cfg.device)
    data = loading.reference_set(cfg, asked)
    available, absent = [], {}
    for name, node in (cfg.get("extractor") or {}).items():
        try:
            extractor = loading.extractor(node, device)
            if data.statistics is not None:
                data.statistics.moments(extractor)  # of this network?
            available.append(extractor)
        except ValueError as error:
            absent[name] = str(error)
    if not available:
        raise ValueError("no protocol is available: " + "; ".join(absent.values()))
    if cfg.images is not None:
        images = open_images(cfg.images, data.shape)
    else:
        path, trust = checkpoint_file(cfg.checkpoint), list(cfg.trust)
        module = loading.diffusion_model(path, device, trust, asked["dtype"])
        parts = chosen_parts(cfg, module)
        wanted = conditions(
            module, data, cfg.num_images, parts["guidance"], asked["labels"], asked["seed"]
        )
        batches = generated(module, wanted, cfg.num_images, asked["seed"], cfg.batch_size, **parts)
        images = ImageSet(torch.cat([batch.images for batch in batches]))
    text = table(rows(images, data, available, cfg.batch_size), absent)
    print(text, end="")
    return write_atomically(Path(cfg.run_dir) / "rosetta.md", text)


def rows(
    images: ImageSet,
    data: ImageData | ReferenceSet,
    extractors: Sequence[Extractor],
    batch_size: int = 256,
) -> list[Row]:
    """Every extractor against both splits, with all images and with the first half of them.

    Args:
        images: to be scored.
        data: what they are compared with.
        extractors: the networks; of a CLIP the image tower is used (CLIP-FID).
        batch_size: images at a time.

    Raises:
        ValueError: fewer than four images, or of another shape than the data's.
    """
    data = ReferenceSet.of(data)
    if len(images) < 4 or (data.shape is not None and images.shape != tuple(data.shape)):
        raise ValueError(
            f"at least 4 images of shape {data.shape} are needed, got {len(images)} of "
            f"{images.shape}"
        )
    scored = []
    half = len(images) // 2
    for extractor in extractors:
        first = _statistics(extractor, images, "images", batch_size, slice(half))
        whole = _statistics(extractor, images, "images", batch_size, slice(half, None))
        whole.merge(first)
        for name, reference in _references(data, extractor, whole.dimensions, batch_size):
            for ours in (whole, first):
                distance = frechet_distance(ours, reference)
                scored.append(
                    Row(extractor.name, extractor.resize, name, ours.count or 0, distance)
                )
    return scored


def _references(
    data: ReferenceSet, extractor: Extractor, size: int, batch_size: int
) -> Iterator[tuple[str, FeatureStatistics]]:
    """What the images are compared with: its name and its statistics."""
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
    seen = FeatureStatistics()
    batches = order_of(images)[part].split(batch_size)
    for indices in track(batches, description=f"{extractor.name}: {name}", unit="batches"):
        seen.update(extractor(images.gather(indices))["pool"])
    return seen


def table(found: Sequence[Row], absent: dict[str, str]) -> str:
    """Markdown: the numbers, their spread, and which protocols are not at hand."""
    heads = ["FID", "network", "resize", "against", "of images"]
    rows = [
        [f"{row.distance:.4g}", row.extractor, row.resize, row.reference, f"{row.num_images:,}"]
        for row in found
    ]
    distances = [row.distance for row in found]
    lines = [
        markdown_table(heads, rows),
        "",
        f"One set of images, {len(found)} numbers from {min(distances):.4g} to "
        f"{max(distances):.4g}: a FID means something beside its network, resize, reference and "
        "count only.",
    ]
    if absent:
        lines += ["", "Not at hand:", ""] + [f"- {name}: {why}" for name, why in absent.items()]
    return "\n".join(lines) + "\n"
