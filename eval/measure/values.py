"""The values of a pass, with everything that is needed to interpret them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from eval.measure.baselines import Baseline, Baselines
from eval.measure.blocks import Tally
from eval.measure.one_pass import Tallies
from eval.measure.plan import Measurement
from eval.metric import Metric, NotEstimable
from eval.metric.pair.pair import PairMetric
from eval.result import Estimate, Value
from eval.result.uncertainty import BLOCKS, estimable


def values_of(tallies: Tallies, baselines: Baselines) -> tuple[dict[str, Value], dict[str, str]]:
    """Every number of a pass by name, and the metrics without one, with the reason."""
    values: dict[str, Value] = {}
    absent = dict(tallies.absent)
    for measurement, tally in tallies.by_measurement.items():
        try:
            values |= dict(_values(measurement, tally, baselines))
        except NotEstimable as error:
            absent[measurement.name] = str(error)
    return values, absent


def _values(
    measurement: Measurement, tally: Tally, baselines: Baselines
) -> Iterable[tuple[str, Value]]:
    for number, estimate in tally.estimates().items():
        name = measurement.value_name(number)
        real, chance = baselines.real.get(name), baselines.chance.get(name)
        yield name, value_of(measurement, tally.metric, number, estimate, real, chance)


def value_of(
    measurement: Measurement,
    metric: Metric,
    number: str,
    estimate: Estimate,
    real: Baseline | None = None,
    chance: Baseline | None = None,
) -> Value:
    """One number of a metric, with its interval and its baselines.

    ``real`` is the same number of held-out images, ``chance`` that with shuffled captions.
    """
    count = metric.used(measurement.num_images)
    network, sha256 = _network(metric, measurement)
    detail = metric.detail(number)
    detail |= {f"set_{i + 1}": value for i, value in enumerate(estimate.sets)}
    if real is not None:
        detail |= metric.beside(real.detail)
    captions = metric.against == "text"
    floor = real if metric.column == "quality" and not captions else None
    low, high = metric.limits(number)
    error = metric.standard_error(number)
    sure = math.isfinite(estimate.standard_error) and estimate.standard_error > 0
    return Value(
        value=estimate.value,
        definition=metric.define(number, count, max(1, len(estimate.sets))),
        higher_is_better=metric.higher_is_better,
        extractor=network,
        sha256=sha256,
        num_images=count,
        num_sets=max(1, len(estimate.sets)),
        floor=floor.value if floor is not None else None,
        floor_images=floor.num_images if floor is not None else None,
        ceiling=real.value if real is not None and captions else None,
        chance=None if chance is None else chance.value,
        detail=detail,
        standard_error=estimate.standard_error if sure and error is None else error,
        interval=[max(low, estimate.low), min(high, estimate.high)] if sure else None,
        corrected=_corrected(metric, estimate, count, low),
        blocks=list(estimate.pseudo),
        title=metric.heading(number, measurement.count),
        unit=metric.unit,
        distance=metric.distance,
        unbiased=metric.unbiased,
        column=metric.column,
    )


def _network(metric: Metric, measurement: Measurement) -> tuple[str | None, str | None]:
    """The name and the hash of the network behind a number, if there is one."""
    if isinstance(metric, PairMetric):
        return metric.network, metric.sha256
    extractor = measurement.extractor
    return (None, None) if extractor is None else (extractor.name, extractor.sha256)


def _corrected(metric: Metric, estimate: Estimate, count: int, lowest: float) -> float | None:
    """The value without the bias of its count, where there are enough images to estimate it."""
    dimensions = metric.dimensions
    if dimensions is None or not estimate.pseudo or not estimable(count, BLOCKS, dimensions):
        return None
    return estimate.corrected if estimate.corrected >= lowest else None
