"""What every model of a comparison is held against: reference, noise floor, ceiling and chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from eval.measure import cache_key
from eval.measure.baselines import HeldOut, held_out
from eval.measure.cache import key
from eval.measure.plan import Entry, lineup
from eval.measure.reference_features import Reference
from eval.metric import Metric
from eval.metric.nearest import nearest
from eval.moments.feature_statistics import FeatureStatistics
from eval.source.batch import from_dataset
from zoo.system.progress import track

if TYPE_CHECKING:
    from eval.measure.cache import Cache


@dataclass
class Yardstick:
    """Numbers of real images, measured once for all models.

    Attributes:
        data: a data set, or a ``Compared``.
        fid: extractors that FID is given with.
        clip: extractors that CLIP score is given with.
        counts: set sizes of FID.
        further: the reference as all metrics compare with it.
        real: the held-out images' numbers.
        nearest: distances of held-out images to the reference images; empty where either is absent.
        absent: metrics that this reference does not allow, and why.
    """

    data: Any
    fid: Sequence[Any]
    clip: Sequence[Any]
    counts: list[int]
    further: Reference = field(default_factory=lambda: Reference([]))
    real: HeldOut = field(default_factory=HeldOut)
    nearest: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    absent: dict[str, str] = field(default_factory=dict)

    @property
    def extractors(self) -> list[Any]:
        """The distinct extractors, each once though two metrics read it."""
        return _distinct(self.fid, self.clip, self.further.entries)

    @property
    def reference(self) -> dict[str, FeatureStatistics]:
        """Extractor's name to the statistics of the reference's pooled features."""
        return {one.name: self.further.moments[one.name, "pool"] for one in self.fid}

    @property
    def num_reference(self) -> int | None:
        """How many reference images there are; None where a statistics file does not say."""
        if self.data.train is not None and not _moments_alone(self.data):
            return len(self.data.train)
        count: int | None = self.data.statistics.count
        return count


def measure(
    data: Any,
    fid: Sequence[Any],
    clip: Sequence[Any],
    counts: Sequence[int],
    batch_size: int = 256,
    metrics: Sequence[Callable[..., Metric]] = (),
    cache: Cache | None = None,
    nearest_images: int = 1000,
    shape: Sequence[int] | None = None,
) -> Yardstick:
    """Runs the reference and the held-out images through the extractors, once each.

    Args:
        data: a data set after ``setup()``, or a ``Compared``.
        fid: extractors that FID is given with.
        clip: extractors that CLIP score is given with.
        counts: set sizes of FID.
        batch_size: images at a time.
        metrics: further ones, as classes or partials; each with every extractor that suits it.
        cache: of features and numbers that were measured before.
        nearest_images: how many images the nearest reference image is searched for; 0 for none.
        shape: (C, H, W) of the images to come, where the data do not say.

    Raises:
        ValueError: a count has no covariance (below two), or no extractor suits a metric.
    """
    if any(count < 2 for count in counts):
        raise ValueError(f"FID needs sets of at least 2 images, got fid_counts={list(counts)}")
    entries = lineup(metrics, _distinct(fid, clip), getattr(data, "num_classes", None))
    entries, absent = _possible(entries, data)
    yardstick = Yardstick(data, fid, clip, list(counts), Reference(entries, fid), absent=absent)
    if _moments_alone(data):
        _from_file(yardstick, data.shape or shape)
    else:
        _from_images(yardstick, batch_size, cache)
    if data.test is None:
        return yardstick
    facts = cache_key.yardstick(data, fid, clip, metrics, counts, nearest_images)
    found = None if cache is None else cache.numbers(facts)
    if found is None:
        yardstick.real = held_out(yardstick, batch_size)
        yardstick.nearest = _nearest(data, nearest_images)
        if cache is not None:
            numbers = {"real": asdict(yardstick.real), "nearest": yardstick.nearest.tolist()}
            cache.keep_numbers(facts, numbers)
    else:
        yardstick.real = HeldOut(**found["real"])
        yardstick.nearest = torch.tensor(found["nearest"], dtype=torch.float64)
    return yardstick


def _moments_alone(data: Any) -> bool:
    return getattr(data, "statistics", None) is not None


def _possible(entries: Sequence[Entry], data: Any) -> tuple[list[Entry], dict[str, str]]:
    """The entries that the reference allows, and why the others are left out."""
    if not _moments_alone(data):
        return list(entries), {}
    kept, absent, file = [], {}, data.statistics
    for entry in entries:
        kind = entry.kind
        if kind.against == "rows" and data.train is None:
            reason = f"{file.path.name} holds moments; this metric compares image by image"
        elif kind.against == "statistics" and not file.has(kind.reads):
            reason = f"{file.path.name} holds no moments of {kind.reads} features"
        else:
            kept.append(entry)
            continue
        absent[f"{kind.stem}_{entry.extractor.name}"] = reason
    return kept, absent


def _from_file(yardstick: Yardstick, shape: Sequence[int] | None) -> None:
    """Moments from the statistics file; rows from the images that it may hold too."""
    reference, data = yardstick.further, yardstick.data
    for extractor in yardstick.extractors:
        needed = reference.needs(extractor)
        sizes = {}
        if shape is not None and needed:
            blank = torch.zeros(1, *shape, dtype=torch.uint8)
            sizes = {name: values.shape[1] for name, values in extractor(blank).items()}
        for feature, kinds in needed.items():
            if "statistics" in kinds:
                moments = data.statistics.moments(extractor, feature, sizes.get(feature))
                reference.moments[extractor.name, feature] = moments
    if any(entry.kind.against == "rows" for entry in reference.entries):
        rows = Reference([e for e in reference.entries if e.kind.against == "rows"])
        _pass(rows, yardstick.extractors, data.train, 256)
        reference.rows = rows.rows


def _from_images(yardstick: Yardstick, batch_size: int, cache: Cache | None) -> None:
    """Features of the reference images: those that were measured before, and the others now."""
    reference, train = yardstick.further, yardstick.data.train
    wanted = [one for one in yardstick.extractors if reference.needs(one)]
    if cache is None:
        _pass(reference, wanted, train, batch_size)
        return
    folders = {}
    for one in wanted:
        facts = {"features": cache_key.extractor(one), "of": train.fingerprint}
        folders[one.name] = cache.folder / "features" / key(facts)
    missing = [one for one in wanted if not reference.load(one, folders[one.name])]
    _pass(reference, missing, train, batch_size)
    for one in missing:  # read back, so that the first evaluation's numbers are the next one's
        reference.save(one, folders[one.name])
        reference.load(one, folders[one.name])


def _pass(reference: Reference, extractors: Sequence[Any], images: Any, batch_size: int) -> None:
    """Feeds images to the extractors, and their features to the reference."""
    first, total = 0, -(-len(images) // batch_size)
    batches = from_dataset(images, batch_size) if extractors else ()
    for batch in track(batches, total, "features of the reference", "batches"):
        for extractor in extractors:
            reference.update(extractor, extractor(batch.images), first, len(images))
        first += len(batch.images)
    reference.finish()


def _nearest(data: Any, num_images: int) -> Tensor:
    if data.train is None or not num_images:
        return torch.empty(0, dtype=torch.float64)
    test = data.test.gather(torch.arange(min(num_images, len(data.test))))
    return nearest(test, data.train, data.flip).distances


def _distinct(fid: Sequence[Any], clip: Sequence[Any], entries: Sequence[Entry] = ()) -> list[Any]:
    others = (entry.extractor for entry in entries)
    return list({one.name: one for one in (*fid, *clip, *others)}.values())
