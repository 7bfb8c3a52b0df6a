"""What one evaluation is of: the subject, what it is compared with, and how images are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from eval.extractor.extractor import Extractor
from eval.measure.plan import MetricFactory, Plan, plan
from eval.source.parallel import Parallel
from eval.source.reference_set import ReferenceSet
from zoo.data import ImageData
from zoo.data.image_set import ImageSet
from zoo.guidance import Guidance
from zoo.sampler import Sampler


@dataclass(frozen=True)
class Generation:
    """How images are made, and how many.

    Image i depends on ``seed`` and i alone, and statistics are float64, so the batch size changes a
    number by no more than the networks' rounding.

    Attributes:
        num_images: how many; of stored images all are taken, of held-out ones at most as many as
            there are.
        seed: of every draw.
        labels: of a class-conditional model: "balanced" or "random", see
            ``eval.source.generated.conditions``.
        batch_size: images at a time.
        sampler: in place of the model's own.
        guidance: in place of the model's own.
        parallel: makes them in several processes in the place of this one.
    """

    num_images: int = 1000
    seed: int = 0
    labels: str = "balanced"
    batch_size: int = 256
    sampler: Sampler | None = None
    guidance: Guidance | None = None
    parallel: Parallel | None = None


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        subject: a ``DiffusionModule``, an ``Autoencoder``, or images that were made elsewhere.
        data: a data set after ``setup()``, whose training split is the reference, or a
            ``ReferenceSet``.
        metrics: classes of ``eval.metric``, or partials of them; each is measured with every
            extractor that suits it.
        extractors: networks whose features are compared.
        generation: how images are made.
        fid_counts: set sizes of FID, which falls as sets grow and compares at one count only: FID
            is given at each, as the mean over as many disjoint sets as there are images for. As
            many images as are held out, and all, when None.
        name: the row's name; the subject's class when None.
        facts: the checkpoint's provenance.
        sha256: of the checkpoint file; only then an evaluation is looked for in a cache.
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
        """The data as what images are compared with."""
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
        return plan(
            self.metrics, self.extractors, self.reference_set, self.num_images, self.fid_counts
        )
