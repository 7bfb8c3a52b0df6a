"""Which metric is measured with which extractor, and what each is made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from eval.metric.class_accuracy import ClassAccuracy
from eval.metric.metric import Metric


class Entry(NamedTuple):
    """One metric with one extractor.

    Attributes:
        factory: the metric's class, perhaps with settings (a hydra partial).
        extractor: whose features it reads.
    """

    factory: Callable[..., Metric]
    extractor: Any

    @property
    def kind(self) -> type[Metric]:
        """The metric's class."""
        return class_of(self.factory)

    @property
    def settings(self) -> str:
        """What is measured, for the protocol: class, settings, feature, and what with."""
        told = settings_of(self.factory)
        against = {
            "statistics": ", all reference images",
            "rows": ", up to 10,000 reference images",
            "text": ", each image's caption",
        }
        return f"{told}, feature {self.kind.reads}{against.get(self.kind.against, '')}"

    @property
    def key(self) -> tuple[str, str]:
        """The extractor's name and the feature that is read."""
        return self.extractor.name, self.kind.reads


def lineup(
    metrics: Sequence[Callable[..., Metric]], extractors: Sequence[Any], num_classes: int | None
) -> list[Entry]:
    """Each metric with every extractor that gives what it reads.

    Args:
        metrics: classes, or partials of them.
        extractors: those at hand.
        num_classes: of the data, or None.

    Raises:
        ValueError: no extractor suits a metric.
    """
    found = []
    for factory in metrics:
        kind = class_of(factory)
        if kind.against == "pairs":
            raise ValueError(
                f"metric {kind.stem} compares images with their reconstructions: give an "
                "autoencoder's checkpoint, or leave the metric out"
            )
        suited = [e for e in extractors if kind.suits(e, num_classes)]
        if not suited:
            names = ", ".join(e.name for e in extractors) or "none"
            raise ValueError(
                f"metric {kind.stem} needs {kind.needs}; the extractors are {names}: add one with "
                "extractor=[...], or leave the metric out"
            )
        found += [Entry(factory, extractor) for extractor in suited]
    return found


def lacks(entry: Entry, labels: Any, captions: Any) -> str | None:
    """What a metric needs that the images have not, in words; None where it can be measured."""
    if entry.kind is ClassAccuracy and labels is None:
        return "the images were generated for no classes"
    if entry.kind.against == "text" and captions is None:
        return "the images have no captions"
    return None


def settings_of(factory: Callable[..., Metric]) -> str:
    """A metric's class and settings in words."""
    given = factory.keywords if isinstance(factory, partial) else {}
    return ", ".join([class_of(factory).__name__, *(f"{k} {v}" for k, v in given.items())])


def class_of(factory: Callable[..., Metric]) -> type[Metric]:
    """The class behind a partial."""
    kind: Any = factory.func if isinstance(factory, partial) else factory
    return kind
