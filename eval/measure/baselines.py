"""The scores of real images: held-out images, measured in the same way as generated ones."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from eval.measure.one_pass import one_pass
from eval.measure.plan import Plan
from eval.measure.reference_features import ReferenceFeatures
from eval.metric import NotEstimable
from eval.source.dataset import from_dataset, order_of, shuffled_captions
from zoo.data.image_set import ImageSet
from zoo.system.progress import track


@dataclass(frozen=True)
class Baseline:
    """One number of ``num_images`` held-out images, with its parts."""

    value: float
    num_images: int
    detail: dict[str, float] = field(default_factory=dict)


@dataclass
class Baselines:
    """The numbers of held-out images, by the values' names.

    Attributes:
        real: their scores: a distance's noise floor, or the ceiling of a comparison with captions.
        chance: their scores with the captions of other images.
    """

    real: dict[str, Baseline] = field(default_factory=dict)
    chance: dict[str, Baseline] = field(default_factory=dict)

    def to_record(self) -> dict[str, dict[str, Any]]:
        """Plain values, for a file."""
        return {
            side: {name: vars(baseline) for name, baseline in getattr(self, side).items()}
            for side in ("real", "chance")
        }

    @classmethod
    def from_record(cls, record: dict[str, dict[str, Any]]) -> Baselines:
        """Baselines from the plain values of ``to_record``."""
        return cls(
            **{
                side: {name: Baseline(**values) for name, values in baselines.items()}
                for side, baselines in record.items()
            }
        )


def baselines(
    images: ImageSet, plan: Plan, reference: ReferenceFeatures, batch_size: int
) -> Baselines:
    """Measures held-out images by a plan of generated ones.

    A number at a count larger than theirs is measured at theirs.
    """
    count = len(images)
    measurements = [
        replace(m, num_images=min(m.num_images, count) if m.count else count)
        for m in plan.measurements
        if m.kind.against != "model"
    ]
    captions = shuffled_captions(images)
    if captions is not None:
        of_text = [m for m in measurements if m.kind.against == "text"]
        measurements += [replace(m, shuffled=True) for m in of_text]
    batches = from_dataset(images, batch_size, order_of(images), captions)
    tracked = track(batches, -(-count // batch_size), "features of the noise floor", "batches")
    tallies = one_pass(tracked, plan.only(measurements), reference, count)
    results = Baselines()
    for measurement, tally in tallies.by_measurement.items():
        side = results.chance if measurement.shuffled else results.real
        with suppress(NotEstimable):
            for name, value in tally.numbers().items():
                side[measurement.value_name(name)] = Baseline(
                    value, measurement.num_images, tally.metric.detail(name)
                )
    return results
