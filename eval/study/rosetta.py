"""``zoo rosetta``: one set of images under every FID protocol at hand, and how far they spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig

from eval.metric.frechet import frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from eval.source.batch import generated, order_of, wanted
from eval.source.stored import StoredImages, stored
from eval.study import loading, protocol
from eval.study.evaluation import chosen_parts
from zoo.checkpoint.published import checkpoint_file
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
    data = loading.compared_with(cfg, asked)
    at_hand, absent = [], {}
    for name, node in (cfg.get("extractor") or {}).items():
        try:
            one = loading.extractor(node, device)
            if getattr(data, "statistics", None) is not None:
                data.statistics.moments(one)  # of this network?
            at_hand.append(one)
        except ValueError as error:
            absent[name] = str(error)
    if not at_hand:
        raise ValueError("no protocol is at hand: " + "; ".join(absent.values()))
    if cfg.images is not None:
        images: Any = stored(cfg.images, data.shape)
    else:
        path, trust = checkpoint_file(cfg.checkpoint), list(cfg.trust)
        module = loading.diffusion_model(path, device, trust, asked["dtype"])
        parts = chosen_parts(cfg, module)
        want = wanted(
            module, data, cfg.num_images, parts["guidance"], asked["labels"], asked["seed"]
        )
        batches = generated(module, want, cfg.num_images, asked["seed"], cfg.batch_size, **parts)
        images = StoredImages(torch.cat([one.images for one in batches]), str(cfg.checkpoint))
    text = table(rows(images, data, at_hand, cfg.batch_size), absent)
    print(text, end="")
    return write_atomically(Path(cfg.run_dir) / "rosetta.md", text)


def rows(images: Any, data: Any, extractors: Sequence[Any], batch_size: int = 256) -> list[Row]:
    """Every extractor against both splits, with all images and with the first half of them.

    Args:
        images: ``StoredImages``.
        data: a data set after ``setup()``, or a ``Compared``.
        extractors: those at hand; of a CLIP the image tower is used (CLIP-FID).
        batch_size: images at a time.

    Raises:
        ValueError: fewer than four images, or of another shape than the data's.
    """
    if len(images) < 4 or (data.shape is not None and images.shape != tuple(data.shape)):
        raise ValueError(
            f"at least 4 images of shape {data.shape} are needed, got {len(images)} of "
            f"{images.shape}"
        )
    found = []
    for extractor in extractors:

        def statistics(
            images: Any, rows: range, what: str, extractor: Any = extractor
        ) -> FeatureStatistics:
            seen = FeatureStatistics()
            parts = order_of(images)[rows.start : rows.stop].split(batch_size)
            for part in track(parts, description=f"{extractor.name}: {what}", unit="batches"):
                seen.update(extractor(images.gather(part))["pool"])
            return seen

        half = len(images) // 2
        first = statistics(images, range(half), "images")
        whole = statistics(images, range(half, len(images)), "images")
        whole.merge(first)
        for told, reference in _references(data, extractor, statistics, whole.dimensions):
            for ours in (whole, first):
                distance = frechet_distance(ours, reference)
                found.append(Row(extractor.name, extractor.resize, told, ours.count or 0, distance))
    return found


def _references(data: Any, extractor: Any, statistics: Any, size: int) -> Iterator[tuple[str, Any]]:
    """What the images are held against, in words, and its statistics."""
    file = getattr(data, "statistics", None)
    if file is not None:
        yield file.path.name, file.moments(extractor, size=size)
        return
    for name, split in (("train", data.train), ("test", data.test)):
        if split is not None:
            told = getattr(data, {"train": "reference", "test": "held_out"}[name], name)
            yield f"{told}, {len(split):,} images", statistics(split, range(len(split)), told)


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
