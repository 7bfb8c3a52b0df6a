"""The setting of one evaluation: the subject, its reference, and how images are generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from eval.extractor.extractor import Extractor
from eval.measure.plan import MetricFactory, Plan, plan
from eval.result.record import Protocol
from eval.source.parallel import Parallel
from eval.source.reference_set import ReferenceSet
from zoo.data import ImageData
from zoo.data.image_set import ImageSet
from zoo.guidance import Guidance
from zoo.sampler import Sampler


@dataclass(frozen=True)
class Generation:
    """How images are generated, and how many.

    Image i depends on ``seed`` and i alone, and statistics are float64, so the batch size changes a
    number by no more than the networks' rounding.

    Attributes:
        num_images: the number generated or reconstructed; stored images are all measured.
        seed: of every draw.
        labels: of a class-conditional model: "balanced" or "random", see
            ``eval.source.generated.conditions_of``.
        batch_size: images at a time.
        sampler: in place of the model's own.
        guidance: in place of the model's own.
        parallel: the processes that generate them, in place of this one.

    Raises:
        ValueError: a number is below one.
    """

    num_images: int = 1000
    seed: int = 0
    labels: str = "balanced"
    batch_size: int = 256
    sampler: Sampler | None = None
    guidance: Guidance | None = None
    parallel: Parallel | None = None

    def __post_init__(self) -> None:
        for name in ("num_images", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Setting:
    """One evaluation: everything that its numbers depend on.

    Attributes:
        subject: a ``DiffusionModule``, an ``Autoencoder``, or stored images.
        data: a data set after ``setup()``, whose training split is the reference, or a
            ``ReferenceSet``.
        metrics: classes of ``eval.metric``, or partials of them; each is measured with every
            extractor that suits it.
        extractors: networks whose features are compared.
        generation: how images are generated.
        fid_counts: set sizes of FID, which falls as sets grow and is comparable at equal counts
            only: it is measured at each, as the mean over all disjoint sets of that size. The
            number of held-out images, and all, when None.
        name: the row's name; the subject's class when None.
        facts: the checkpoint's provenance.
        sha256: of the checkpoint file; without it a model's evaluation is not cached.
        protocol: the versioned protocol's name, for the record.
    """

    subject: nn.Module | ImageSet
    data: ImageData | ReferenceSet
    metrics: Sequence[MetricFactory]
    extractors: Sequence[Extractor] = ()
    generation: Generation = Generation()
    fid_counts: Sequence[int] | None = None
    name: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    sha256: str | None = None
    protocol: str = ""

    @property
    def reference_set(self) -> ReferenceSet:
        """The data as a reference."""
        return ReferenceSet.of(self.data)

    @property
    def title(self) -> str:
        """The row's name."""
        kind = "images" if isinstance(self.subject, ImageSet) else type(self.subject).__name__
        return self.name or kind

    @property
    def num_images(self) -> int:
        """How many images are measured."""
        subject = self.subject
        return len(subject) if isinstance(subject, ImageSet) else self.generation.num_images

    def plan(self) -> Plan:
        """Which metrics with which extractors.

        Raises:
            ValueError: see ``eval.measure.plan.plan``.
        """
        data, counts = self.reference_set, self.fid_counts
        return plan(self.metrics, self.extractors, data, self.num_images, counts)


def protocol_of(setting: Setting, plan: Plan, **fields: Any) -> Protocol:
    """How a setting is measured: its data and metrics, and the fields that its kind adds."""
    data = setting.reference_set
    shared: dict[str, Any] = {
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "reference": data.reference,
        "num_reference": data.num_reference,
        "held_out": "none" if data.test is None else data.held_out,
        "num_held_out": 0 if data.test is None else len(data.test),
        "fid_counts": plan.counts,
        "extractors": {e.name: e.sha256 for e in plan.extractors},
        "resize": {e.name: resize_of(e) for e in plan.extractors},
        "seed": setting.generation.seed,
        "metrics": {m.name: m.settings for m in plan.measurements},
        "name": setting.protocol,
        "decoding": data.decoding,
    }
    return Protocol(**shared | fields)


def resize_of(extractor: Extractor) -> str:
    """How images reach an extractor's input size."""
    return str(getattr(extractor, "resize", "the extractor's own"))
