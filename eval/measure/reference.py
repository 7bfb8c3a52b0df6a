"""The reference of all models of a comparison: its features and the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eval.extractor.extractor import Extractor
from eval.measure import cache_key
from eval.measure.baselines import Baselines, baselines
from eval.measure.cache import Cache, believed, kept
from eval.measure.plan import Plan
from eval.measure.reference_features import ReferenceFeatures
from eval.source.reference_set import ReferenceSet


@dataclass
class Reference:
    """Real images, measured once for all models.

    Attributes:
        data: the reference images or moments, and perhaps held-out images.
        plan: the measurements.
        features: of the reference.
        baselines: the held-out images' numbers.
    """

    data: ReferenceSet
    plan: Plan
    features: ReferenceFeatures
    baselines: Baselines = field(default_factory=Baselines)


def measure_reference(
    data: ReferenceSet,
    plan: Plan,
    batch_size: int = 256,
    cache: Cache | None = None,
    shape: Sequence[int] | None = None,
) -> Reference:
    """Runs the reference and the held-out images through the extractors, once each.

    Args:
        data: the reference and the held-out images.
        plan: of the images to be compared.
        batch_size: images at a time.
        cache: of features and numbers measured earlier.
        shape: (C, H, W) of the images to be compared, where the data do not say.

    Raises:
        ValueError: a statistics file is of another network than the plan's.
    """
    reference = Reference(data, plan, ReferenceFeatures(plan, data))
    if data.statistics is not None:
        reference.features.read(plan.extractors, data.shape or shape)
    else:
        _measure_features(reference.features, data, batch_size, cache)
    if data.test is None:
        return reference
    facts = cache_key.baselines(data, plan)
    record = None if cache is None else cache.numbers(facts)
    if record is not None:
        reference.baselines = Baselines.from_record(record)
        return reference
    reference.baselines = baselines(data.test, plan, reference.features, batch_size)
    if cache is not None:
        cache.keep_numbers(facts, reference.baselines.to_record())
    return reference


def _measure_features(
    features: ReferenceFeatures, data: ReferenceSet, batch_size: int, cache: Cache | None
) -> None:
    """Features of the reference images, from the cache or else measured now."""
    needed = [e for e in features.plan.extractors if features.needs(e)]
    if not needed:
        return
    assert data.train is not None
    if cache is None:
        features.measure(needed, data.train, batch_size)
        return
    folders = {
        extractor.name: cache.features_folder(extractor, data.train.fingerprint)
        for extractor in needed
    }
    missing = [e for e in needed if not _loaded(features, e, folders[e.name])]
    features.measure(missing, data.train, batch_size)
    for extractor in missing:  # read back, so that the first evaluation's numbers repeat exactly
        folder = folders[extractor.name]
        with kept(folder):
            features.save(extractor, folder)
            features.load(extractor, folder)


def _loaded(features: ReferenceFeatures, extractor: Extractor, folder: Path) -> bool:
    """Whether an extractor's features are in a folder, and sound."""

    def load(folder: Path) -> bool:
        features.load(extractor, folder)
        return True

    return bool(believed(folder, load))
