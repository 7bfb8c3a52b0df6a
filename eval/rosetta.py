"""``zoo rosetta``: one set of images under every FID protocol at hand, and how far they spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo import entry

if TYPE_CHECKING:
    from torch import Tensor


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


def main(argv: Sequence[str] | None = None) -> None:
    """The verb."""
    entry.run("rosetta", "rosetta", "eval.verbs:rosetta", argv)


def rows(images: Tensor, data: Any, extractors: Sequence[Any], batch_size: int = 256) -> list[Row]:
    """Every extractor against both splits, with all images and with the first half of them.

    Args:
        images: (N, C, H, W) uint8.
        data: a data set after ``setup()``.
        extractors: those at hand; of a CLIP the image tower is used (CLIP-FID).
        batch_size: images at a time.

    Raises:
        ValueError: fewer than four images, or of another shape than the data's.
    """
    if len(images) < 4 or list(images.shape[1:]) != list(data.shape):
        raise ValueError(
            f"at least 4 images of shape {tuple(data.shape)} are needed, got {tuple(images.shape)}"
        )
    import torch

    from eval.feature_statistics import FeatureStatistics
    from eval.metric.frechet import frechet_distance
    from zoo.progress import track

    found = []
    for extractor in extractors:

        def statistics(parts: Any, what: str, extractor: Any = extractor) -> FeatureStatistics:
            seen = FeatureStatistics()
            for part in track(parts, description=f"{extractor.name}: {what}", unit="batches"):
                seen.update(extractor(part)["pool"])
            return seen

        half = len(images) // 2
        first = statistics(images[:half].split(batch_size), "images")
        whole = statistics(images[half:].split(batch_size), "images")
        whole.merge(first)
        for name in ("train", "test"):
            split = getattr(data, name)
            indices = torch.arange(len(split)).split(batch_size)
            reference = statistics([split.gather(i) for i in indices], name)
            told = f"{name}, {len(split):,} images"
            for ours in (whole, first):
                distance = frechet_distance(ours, reference)
                found.append(Row(extractor.name, extractor.resize, told, ours.count or 0, distance))
    return found


def table(found: Sequence[Row], absent: dict[str, str]) -> str:
    """Markdown: the numbers, their spread, and which protocols are not at hand."""
    lines = ["| FID | network | resize | against | of images |", "| --- | --- | --- | --- | --- |"]
    for row in found:
        words = [
            f"{row.distance:.4g}",
            row.extractor,
            row.resize,
            row.reference,
            f"{row.num_images:,}",
        ]
        lines.append("| " + " | ".join(words) + " |")
    distances = [row.distance for row in found]
    lines += [
        "",
        f"One set of images, {len(found)} numbers from {min(distances):.4g} to "
        f"{max(distances):.4g}: a FID means something beside its network, resize, reference and "
        "count only.",
    ]
    if absent:
        lines += ["", "Not at hand:", ""] + [f"- {name}: {why}" for name, why in absent.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
