"""What real images score: the held-out images in the place of generated ones, measured alike."""

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
    """One number of held-out images.

    Attributes:
        value: the number.
        num_images: how many images it is made of.
        detail: its parts.
    """

    value: float
    num_images: int
    detail: dict[str, float] = field(default_factory=dict)


@dataclass
class Baselines:
    """The numbers of held-out images, by the names that values have.

    Attributes:
        real: what they score: a distance's noise floor, the ceiling of what compares with captions.
        chance: what they score with the captions of other images.
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
        """What ``to_record`` wrote."""
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

    A number at a count that they cannot fill is measured at the count they have.

    Args:
        images: held out.
        plan: of the generated images.
        reference: what metrics are made with.
        batch_size: images at a time.
    """
    count = len(images)
    alike = [
        replace(m, num_images=min(m.num_images, count) if m.count else count)
        for m in plan.measurements
        if m.kind.against != "model"
    ]
    captions = shuffled_captions(images)
    if captions is not None:
        alike += [replace(m, shuffled=True) for m in alike if m.kind.against == "text"]
    batches = from_dataset(images, batch_size, order_of(images), captions)
    tracked = track(batches, -(-count // batch_size), "features of the noise floor", "batches")
    measured = one_pass(tracked, plan.only(alike), reference, count)
    found = Baselines()
    for measurement, tally in measured.tallies.items():
        side = found.chance if measurement.shuffled else found.real
        with suppress(NotEstimable):
            for name, value in tally.numbers().items():
                side[measurement.value_name(name)] = Baseline(
                    value, measurement.num_images, tally.metric.detail(name)
                )
    return found
