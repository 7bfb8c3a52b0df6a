"""What every model of a comparison is held against: reference, noise floor, ceiling and chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from eval.blocks import Blocks
from eval.feature_statistics import FeatureStatistics
from eval.images import Images, as_batch, from_dataset
from eval.lineup import lineup
from eval.metric import ClassAccuracy, ClipScore, FrechetDistance, Metric
from eval.nearest import nearest_distances
from eval.reference import Reference
from zoo.draw import Draw
from zoo.progress import track
from zoo.records import Batch

_NEAREST = 1000  # images whose nearest training image is searched for


class FidSets:
    """The Fréchet distances of disjoint sets of one size, from one pass over many images.

    Set k holds images k size to (k + 1) size; images beyond the last whole set are left out.

    Args:
        reference: the statistics to compare with.
        extractor: the extractor's name.
        size: images per set.
        num_images: how many images will come.
    """

    def __init__(
        self, reference: FeatureStatistics, extractor: str, size: int, num_images: int
    ) -> None:
        self.size = size
        self.sets = [FrechetDistance(reference, extractor) for _ in range(num_images // size)]
        self._seen = 0

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds a batch's features, each row to its own set."""
        count, row = len(images.images), 0
        while row < count:
            index, filled = divmod(self._seen, self.size)
            rows = min(count - row, self.size - filled)
            if index < len(self.sets):
                part = {name: values[row : row + rows] for name, values in features.items()}
                self.sets[index].update(part, as_batch(images.rows(row, row + rows)))
            row += rows
            self._seen += rows

    def compute(self) -> list[float]:
        """Each set's distance."""
        return [next(iter(metric.compute().values())) for metric in self.sets]


@dataclass
class Yardstick:
    """Numbers of real images, measured once for all models.

    Attributes:
        data: the data set.
        fid: extractors that FID is given with.
        clip: extractors that CLIP score is given with.
        counts: set sizes of FID.
        reference: extractor's name to the training split's statistics.
        floors: (extractor's name, set size) to the held-out images' distance and their count.
        ceiling: extractor's name to the CLIP score of held-out images with their captions.
        chance: the same with shuffled captions.
        nearest: distances of held-out images to the training set.
        further: the training split as the other metrics compare with it.
        further_floors: the other metrics' numbers for held-out images, by name.
    """

    data: Any
    fid: Sequence[Any]
    clip: Sequence[Any]
    counts: list[int]
    reference: dict[str, FeatureStatistics] = field(default_factory=dict)
    floors: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)
    ceiling: dict[str, float] = field(default_factory=dict)
    chance: dict[str, float] = field(default_factory=dict)
    nearest: Tensor = field(default_factory=lambda: torch.empty(0))
    further: Reference = field(default_factory=lambda: Reference([]))
    further_floors: dict[str, float] = field(default_factory=dict)

    @property
    def extractors(self) -> list[Any]:
        """The distinct extractors, each once though two metrics read it."""
        entries = (entry.extractor for entry in self.further.entries)
        return list({e.name: e for e in (*self.fid, *self.clip, *entries)}.values())


def measure(
    data: Any,
    fid: Sequence[Any],
    clip: Sequence[Any],
    counts: Sequence[int],
    batch_size: int = 256,
    metrics: Sequence[Callable[..., Metric]] = (),
) -> Yardstick:
    """Runs the training split and the held-out split through the extractors, once each.

    Args:
        data: a data set after ``setup()``.
        fid: extractors that FID is given with; the training split is the reference.
        clip: extractors that CLIP score is given with.
        counts: set sizes of FID.
        batch_size: images at a time.
        metrics: further ones, as classes or partials; each with every extractor that suits it.

    Raises:
        ValueError: a count has no covariance (below two), or no extractor suits a metric.
    """
    if any(count < 2 for count in counts):
        raise ValueError(f"FID needs sets of at least 2 images, got fid_counts={list(counts)}")
    yardstick = Yardstick(data, fid, clip, list(counts))
    yardstick.reference = {extractor.name: FeatureStatistics() for extractor in fid}
    entries = lineup(metrics, yardstick.extractors, getattr(data, "num_classes", None))
    yardstick.further = Reference(entries)
    read = [e for e in yardstick.extractors if e in fid or yardstick.further.reads(e)]
    first = 0
    for batch in _tracked(data.train, batch_size, "reference") if read else ():
        for extractor in read:
            features = extractor(batch.images)
            if extractor in fid:
                yardstick.reference[extractor.name].update(features["pool"])
            yardstick.further.update(extractor, features, first, len(data.train))
        first += len(batch.images)
    yardstick.further.finish()
    _held_out(yardstick, batch_size)
    test = data.test.gather(torch.arange(min(_NEAREST, len(data.test))))
    training = data.train.gather(torch.arange(len(data.train)))
    yardstick.nearest = nearest_distances(test, training, data.flip)
    return yardstick


def nearest_to_training(images: Tensor, data: Any) -> Tensor:
    """Distances of the first images to the training set; at most a thousand of them."""
    training = data.train.gather(torch.arange(len(data.train)))
    return nearest_distances(images[:_NEAREST], training, data.flip)


def _held_out(yardstick: Yardstick, batch_size: int) -> None:
    """Noise floor, ceiling and chance: the held-out images in the place of generated ones."""
    test, num = yardstick.data.test, len(yardstick.data.test)
    # FID at a count that held-out images cannot fill has its floor at the count they have.
    sets = {
        (e.name, count): FidSets(yardstick.reference[e.name], e.name, min(count, num), num)
        for e in yardstick.fid
        for count in yardstick.counts
    }
    clip = [e for e in yardstick.clip if test.captions is not None]
    further = {
        entry: Blocks(partial(yardstick.further.fresh, entry), num)
        for entry in yardstick.further.entries
        if entry.kind is not ClassAccuracy or test.labels is not None
    }
    true = {e.name: ClipScore(e.text, e.name) for e in clip}
    random = {e.name: ClipScore(e.text, e.name) for e in clip}
    shuffled = torch.randperm(num, generator=Draw(0, [0], "eval/chance").generators[0]).tolist()
    first = 0
    for batch in _tracked(test, batch_size, "noise floor"):
        last = first + len(batch.images)
        for extractor in yardstick.extractors:
            features = extractor(batch.images)
            for entry, blocks in further.items():
                if entry.extractor.name == extractor.name:
                    blocks.update(features, batch)
            for (name, _), metric in sets.items():
                if name == extractor.name:
                    metric.update(features, batch)
            if extractor.name in true:
                others = [test.captions[i] for i in shuffled[first:last]]
                true[extractor.name].update(features, as_batch(batch))
                random[extractor.name].update(features, Batch(batch.images, others))
        first = last
    for key, metric in sets.items():
        found = metric.compute()
        yardstick.floors[key] = (sum(found) / len(found), metric.size)
    for blocks in further.values():
        yardstick.further_floors |= {name: e.value for name, e in blocks.estimates().items()}
    yardstick.ceiling = {name: metric.compute()[metric.name] for name, metric in true.items()}
    yardstick.chance = {name: metric.compute()[metric.name] for name, metric in random.items()}


def _tracked(split: Any, batch_size: int, what: str) -> Any:
    total = -(-len(split) // batch_size)
    return track(from_dataset(split, batch_size), total, f"features of the {what}", "batches")
