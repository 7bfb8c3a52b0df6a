"""The pass of images from any source through extractors into metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from eval.extractor.extractor import DistinctTexts, Extractor
from eval.measure.blocks import Tally, tally
from eval.measure.plan import Measurement, Plan
from eval.measure.reference_features import ReferenceFeatures
from eval.source.batch import Images

SHOWN = 1000
"""Images that are kept for pictures."""


class Tallies(NamedTuple):
    """The outcome of one pass.

    Attributes:
        by_measurement: a tally of every measurement that the images allowed.
        absent: the names of the others, and why.
        images: the first ones, uint8; of pairs the originals, each followed by its reconstruction.
        num_images: how many there were.
        evaluations: rows that each network evaluated for them, by name.
    """

    by_measurement: dict[Measurement, Tally]
    absent: dict[str, str]
    images: Tensor
    num_images: int
    evaluations: dict[str, int]


def one_pass(
    batches: Iterable[Images], plan: Plan, reference: ReferenceFeatures, num_images: int
) -> Tallies:
    """Runs each distinct extractor once per batch, and every metric on its features.

    ``num_images`` is the number of images in all batches. The numbers depend on the batches alone,
    not on earlier passes.
    """
    for network in plan.extractors:
        if isinstance(text := getattr(network, "text", None), DistinctTexts):
            text.clear()
    tallies = {
        m: tally(partial(reference.fresh, m), m.kind, m.num_images, num_images)
        for m in plan.measurements
    }
    absent: dict[str, str] = {}
    first: list[Tensor] = []
    evaluations: Counter[str] = Counter()
    count = 0
    for batch in batches:
        first.append(_to_show(batch)[: max(0, SHOWN - sum(map(len, first)))].clone())
        count += len(batch.images)
        evaluations.update(batch.evaluations or {})
        for measurement in list(tallies):
            if reason := measurement.kind.lacks(batch):
                absent[measurement.name] = reason
                del tallies[measurement]
        for extractor in [None, *plan.extractors]:
            readers = [m for m in tallies if m.extractor is extractor]
            if readers:
                features = batch.features or {} if extractor is None else _read(extractor, batch)
            for measurement in readers:
                images = batch
                if measurement.shuffled:
                    images = batch._replace(captions=batch.shuffled)
                with _named_in_errors(measurement):
                    tallies[measurement].update(features, images)
    return Tallies(tallies, absent, torch.cat(first), count, dict(evaluations))


@contextmanager
def _named_in_errors(measurement: Measurement) -> Iterator[None]:
    """Within, the traceback of a metric's own mistake names it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while metric {measurement.name} was fed")
        raise


def _read(extractor: Extractor, batch: Images) -> dict[str, Tensor]:
    """Features of a batch; of pairs those of both sides."""
    if batch.originals is None:
        return extractor(batch.images)
    sides = extractor(torch.cat([batch.originals, batch.images]))["pool"].chunk(2)
    return dict(zip(("original", "reconstruction"), sides, strict=True))


def _to_show(batch: Images) -> Tensor:
    if batch.originals is None:
        return batch.images
    return torch.stack([batch.originals, batch.images], dim=1).flatten(0, 1)
