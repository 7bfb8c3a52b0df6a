"""The plan of an evaluation: each metric with its extractors and its number of images."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from eval.extractor.extractor import Extractor
from eval.metric.metric import Metric
from eval.source.reference_set import ReferenceSet

MetricFactory = Callable[..., Metric]
"""A metric's class, perhaps with settings (a hydra partial)."""

_AGAINST = {
    "statistics": ", all reference images",
    "rows": ", up to 10,000 reference images",
    "text": ", each image's caption",
}


@dataclass(frozen=True)
class Measurement:
    """One metric with one extractor.

    Attributes:
        factory: the metric's class, perhaps with settings.
        extractor: whose features it reads; None for pixels alone.
        num_images: number of images behind one number: a set's size where there are several.
        count: the set size in the number's name; None where it has none.
        shuffled: whether images have the captions of others, for the score of chance.
    """

    factory: MetricFactory
    extractor: Extractor | None
    num_images: int
    count: int | None = None
    shuffled: bool = False

    @property
    def kind(self) -> type[Metric]:
        """The metric's class."""
        return class_of(self.factory)

    @property
    def name(self) -> str:
        """Of the metric with its extractor, such as ``kid_small``."""
        stem = self.kind.stem
        return stem if self.extractor is None else f"{stem}_{self.extractor.name}"

    @property
    def settings(self) -> str:
        """For the protocol: the metric's class, settings and feature, and what it compares with."""
        feature = "" if self.kind.reads is None else f", feature {self.kind.reads}"
        return f"{settings_of(self.factory)}{feature}{_AGAINST.get(self.kind.against, '')}"

    def value_name(self, number: str) -> str:
        """The name that one of the metric's numbers has in a result."""
        return number if self.count is None else f"{number}_{self.count}"


@dataclass(frozen=True)
class Plan:
    """All measurements of an evaluation.

    Attributes:
        measurements: one for each number, or for each metric of several numbers.
        absent: metrics that cannot be measured, and why.
    """

    measurements: tuple[Measurement, ...]
    absent: dict[str, str]

    @property
    def extractors(self) -> list[Extractor]:
        """The distinct extractors."""
        used = (m.extractor for m in self.measurements if m.extractor is not None)
        return list({extractor.name: extractor for extractor in used}.values())

    @property
    def counts(self) -> list[int]:
        """The set sizes in numbers' names."""
        return sorted({m.count for m in self.measurements if m.count is not None})

    def against(self, *kinds: str) -> list[Measurement]:
        """The measurements against one of these, such as "statistics"."""
        return [m for m in self.measurements if m.kind.against in kinds]

    def only(self, measurements: Iterable[Measurement]) -> Plan:
        """The same plan with these measurements alone."""
        return replace(self, measurements=tuple(measurements))


def plan(
    metrics: Sequence[MetricFactory],
    extractors: Sequence[Extractor],
    data: ReferenceSet,
    num_images: int,
    counts: Sequence[int] | None = None,
) -> Plan:
    """Each metric with every extractor that provides its feature, as far as the data allow it.

    Args:
        metrics: classes, or partials of them.
        extractors: those available.
        data: the reference and the held-out images.
        num_images: number of images to be measured.
        counts: set sizes of the metrics that depend on the count; the number of held-out images,
            and all, when None.

    Raises:
        ValueError: no extractor suits a chosen metric, two have one name, nothing is left to
            measure, or a count is below two or larger than the number of images.
    """
    counts = set_sizes(counts, num_images, None if data.test is None else len(data.test))
    measurements: list[Measurement] = []
    absent: dict[str, str] = {}
    for factory in metrics:
        kind = class_of(factory)
        _check(factory)
        if kind.against == "pairs":
            raise ValueError(
                f"metric {kind.stem} compares images with their reconstructions: give an "
                "autoencoder's checkpoint, or leave the metric out"
            )
        for extractor in suited(kind, extractors, data.num_classes):
            sizes: Sequence[int | None] = counts if kind.per_count else [None]
            measurement = Measurement(factory, extractor, num_images)
            if reason := _not_allowed(measurement, data):
                absent |= {} if kind.optional and kind.reads is None else {measurement.name: reason}
                continue
            measurements += [
                replace(measurement, num_images=size or num_images, count=size) for size in sizes
            ]
    names = [m.value_name(m.name) for m in measurements]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two metrics give {', '.join(twice)}: leave one out, or change its stem")
    if not measurements and not absent:
        raise ValueError(
            "nothing to measure: choose metrics and extractors that suit them; metrics are "
            f"{', '.join(class_of(m).stem for m in metrics) or 'none'} and extractors "
            f"{', '.join(e.name for e in extractors) or 'none'}"
        )
    return Plan(tuple(measurements), absent)


_POSSIBLE = {
    "against": ("statistics", "rows", "pixels", "text", "pairs", "model", "nothing"),
    "column": ("quality", "cost", "section"),
}


def _check(factory: MetricFactory) -> None:
    """Raises for a class that says too little of itself, or something that no one reads."""
    kind: object = class_of(factory)
    if not (isinstance(kind, type) and issubclass(kind, Metric)):
        raise ValueError(
            f"{kind!r} is not a metric: a metric is a subclass of eval.metric.Metric, and its yaml "
            "has _target_ and _partial_: true"
        )
    for name in ("stem", "definition"):
        if not isinstance(getattr(kind, name, None), str):
            raise ValueError(f"metric {kind.__name__} has no {name}: it is a text of the class")
    for name, possible in _POSSIBLE.items():
        value = getattr(kind, name)
        if value not in possible:
            among = ", ".join(possible)
            raise ValueError(f"metric {kind.stem}: {name} is one of {among}, got {value!r}")
    names = list(inspect.signature(kind).parameters)
    for name in factory.keywords if isinstance(factory, partial) else ():
        if name not in names and "kwargs" not in names:
            raise ValueError(
                f"metric {kind.stem} has no setting '{name}'; it has {', '.join(names)}"
            )


def suited(
    kind: type[Metric], extractors: Sequence[Extractor], num_classes: int | None
) -> Sequence[Extractor | None]:
    """The extractors that a metric is measured with: None stands for pixels alone.

    Raises:
        ValueError: no extractor suits a metric that is not optional.
    """
    if kind.reads is None:
        return [None]
    fitting = [e for e in extractors if kind.suits(e, num_classes)]
    if not fitting and not kind.optional:
        names = ", ".join(e.name for e in extractors) or "none"
        raise ValueError(
            f"metric {kind.stem} needs {kind.needs}; the extractors are {names}: add one with "
            "extractor=[...], or leave the metric out"
        )
    return fitting


def set_sizes(counts: Sequence[int] | None, num_images: int, held_out: int | None) -> list[int]:
    """The set sizes of metrics that depend on the count, rising.

    Raises:
        ValueError: one is below two, or larger than the number of images.
    """
    sizes = list(counts) if counts else [min(num_images, held_out or num_images), num_images]
    if max(sizes) > num_images:
        raise ValueError(
            f"fid_counts={sizes} asks for sets of more images than the {num_images} there are: "
            f"set num_images={max(sizes)} or smaller counts"
        )
    if min(sizes) < 2:
        raise ValueError(f"FID needs sets of at least 2 images, got fid_counts={sizes}")
    return sorted(set(sizes))


def _not_allowed(measurement: Measurement, data: ReferenceSet) -> str | None:
    """Why the reference does not allow a measurement; None where it does."""
    kind, file = measurement.kind, data.statistics
    if kind.against == "pixels" and data.train is None:
        return "there are no reference images"
    if file is None:
        return None
    if kind.against == "rows" and data.train is None:
        return f"{file.path.name} holds moments; this metric compares image by image"
    if kind.against == "statistics" and not file.has(kind.reads or ""):
        return f"{file.path.name} holds no moments of {kind.reads} features"
    return None


def settings_of(factory: MetricFactory) -> str:
    """A metric's class and settings, as text."""
    keywords = factory.keywords if isinstance(factory, partial) else {}
    return ", ".join([class_of(factory).__name__, *(f"{k} {v}" for k, v in keywords.items())])


def class_of(factory: MetricFactory) -> type[Metric]:
    """The class behind a partial."""
    return cast("type[Metric]", factory.func if isinstance(factory, partial) else factory)
