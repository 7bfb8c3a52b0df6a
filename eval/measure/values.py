"""What a pass measured, as values with all that they have to be read beside."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from eval.measure.blocks import Blocks, FidSets
from eval.measure.one_pass import Measured
from eval.measure.plan import Entry, lacks
from eval.measure.reference import Yardstick
from eval.metric import FrechetDistance, NotEstimable
from eval.metric.metric import Metric
from eval.metric.nearest import nearest, pairs, percentiles
from eval.result.record import Value
from eval.result.uncertainty import BLOCKS, Estimate, estimable


class Found(NamedTuple):
    """The outcome of a pass.

    Attributes:
        values: by name.
        absent: metrics that could not be measured, and why.
        pairs: (K, 2, C, H, W) uint8, the closest pairs of image and reference image.
    """

    values: dict[str, Value]
    absent: dict[str, str]
    pairs: Tensor


def values_of(measured: Measured, yardstick: Yardstick, nearest_images: int) -> Found:
    """Every number of a pass."""
    values: dict[str, Value] = {}
    absent = dict(yardstick.absent)
    for (extractor, count), sets in measured.fid.items():
        values[f"fid_{extractor}_{count}"] = _fid(extractor, count, sets, yardstick)
    for extractor, score in measured.clip.items():
        ((name, estimate),) = score.estimates().items()
        values[name] = _clip_score(extractor, estimate, measured.num_images, yardstick)
    for entry, blocks in measured.further.items():
        metric = yardstick.further.fresh(entry)
        try:
            values |= _further(metric, entry, blocks, yardstick, measured.num_images)
        except NotEstimable as error:
            absent[metric.name] = str(error)
    for entry in yardstick.further.entries:
        if entry not in measured.further:
            name = f"{entry.kind.stem}_{entry.extractor.name}"
            absent[name] = str(lacks(entry, None, None))
    closest = torch.empty(0, dtype=torch.uint8)
    if nearest_images and yardstick.data.train is not None:
        images = measured.images[:nearest_images]
        values["nearest_training_image"], closest = _nearest(images, yardstick)
    if measured.seconds:
        values["images_per_second"] = Value(
            value=measured.num_images / measured.seconds,
            definition="Images generated per second on the machine named above, decoding included.",
            higher_is_better=True,
            num_images=measured.num_images,
        )
    return Found(values, absent, closest)


def _fid(extractor: str, count: int, sets: FidSets | Blocks, yardstick: Yardstick) -> Value:
    """FID at one count: of several sets the mean, of one with its interval."""
    floor, floor_images = yardstick.real.floors.get(f"{extractor}_{count}", (None, None))
    dimensions = yardstick.reference[extractor].dimensions
    found = sets.compute() if isinstance(sets, FidSets) else []
    value = Value(
        value=sum(found) / max(1, len(found)),
        definition=_fid_definition(extractor, count, len(found), yardstick),
        higher_is_better=False,
        extractor=extractor,
        sha256=_sha256(extractor, yardstick),
        num_images=count,
        num_sets=max(1, len(found)),
        floor=floor,
        floor_images=None if floor_images is None else int(floor_images),
        detail={
            "dimensions": float(dimensions),
            **{f"set_{i + 1}": distance for i, distance in enumerate(found)},
        },
    )
    if isinstance(sets, FidSets):
        return value
    (estimate,) = sets.estimates().values()
    return _distance(value, estimate, dimensions)


def _clip_score(extractor: str, estimate: Estimate, num_images: int, yardstick: Yardstick) -> Value:
    value = Value(
        value=estimate.value,
        definition="How well images fit their captions, from 0 to 100, judged by a network "
        f"({extractor}) that was trained to match images with captions. Read it between its "
        "chance (shuffled captions) and its ceiling (real images).",
        higher_is_better=True,
        extractor=extractor,
        sha256=_sha256(extractor, yardstick),
        num_images=num_images,
        ceiling=yardstick.real.ceiling.get(extractor),
        chance=yardstick.real.chance.get(extractor),
    )
    return with_interval(value, estimate)


def _further(
    metric: Metric, entry: Entry, blocks: Blocks, yardstick: Yardstick, num_images: int
) -> dict[str, Value]:
    """The numbers of one metric of the line-up."""
    found = {}
    for name, estimate in blocks.estimates().items():
        value = Value(
            value=estimate.value,
            definition=metric.define(name),
            higher_is_better=entry.kind.higher_is_better,
            extractor=entry.extractor.name,
            sha256=entry.extractor.sha256,
            num_images=num_images,
            floor=yardstick.real.further.get(name),
            floor_images=None if yardstick.data.test is None else len(yardstick.data.test),
        )
        if isinstance(metric, FrechetDistance):
            value = _distance(value, estimate, metric.reference.dimensions)
        else:
            value = with_interval(value, estimate, metric.limits(name))
        found[name] = value
    return found


def _distance(value: Value, estimate: Estimate, dimensions: int) -> Value:
    """A Fréchet distance with its interval, and without its bias where that can be told."""
    detail = {"dimensions": float(dimensions), **value.detail}
    value = with_interval(replace(value, detail=detail), estimate, (0.0, math.inf))
    enough = bool(estimate.pseudo) and estimable(value.num_images, BLOCKS, dimensions)
    if enough and estimate.corrected >= 0:
        value = replace(value, corrected=estimate.corrected)
    return value


def with_interval(
    value: Value, estimate: Estimate, limits: tuple[float, float] = (-math.inf, math.inf)
) -> Value:
    """The value with its jackknife; as it is where blocks tell nothing: too few, or all alike.

    Args:
        value: its number is replaced by the estimate's.
        estimate: of the jackknife.
        limits: what the number cannot leave; neither does its interval.
    """
    value = replace(value, value=estimate.value)
    if not math.isfinite(estimate.standard_error):
        return value
    if estimate.standard_error == 0:
        return replace(value, blocks=list(estimate.pseudo))
    low, high = limits
    return replace(
        value,
        standard_error=estimate.standard_error,
        interval=[max(low, estimate.low), min(high, estimate.high)],
        blocks=list(estimate.pseudo),
    )


def _sha256(extractor: str, yardstick: Yardstick) -> str:
    return next(one.sha256 for one in yardstick.extractors if one.name == extractor)


def _nearest(images: Tensor, yardstick: Yardstick) -> tuple[Value, Tensor]:
    data, test = yardstick.data, yardstick.nearest
    found = nearest(images, data.train, data.flip)
    detail = percentiles(found.distances)
    if len(test):
        detail |= percentiles(test, "test_")
        detail["closer_than_any_test"] = float((found.distances < test.min()).sum())
    value = Value(
        value=detail["p50"],
        definition="Distance of a generated image to the nearest training image: the root mean "
        "square difference of its pixels, in steps of 8-bit values (median over images).",
        num_images=len(images),
        detail=detail,
    )
    return value, pairs(images, data.train, found)


def _fid_definition(extractor: str, count: int, sets: int, yardstick: Yardstick) -> str:
    mean = f", the mean of {sets} disjoint sets" if sets > 1 else ""
    many = yardstick.num_reference
    crowd = "the reference" if many is None else f"{many:,} reference"
    dimensions = yardstick.reference[extractor].dimensions
    rank = ""
    if count <= dimensions:
        rank = (
            f" Mind: {count} images cannot fill the {dimensions} dimensions of these features, so "
            "a part of what is compared is unknown; FID means little below that count."
        )
    return (
        f"Fréchet distance, with the features of the network '{extractor}': how far a crowd of "
        f"{count} images{mean} lies from the crowd of {crowd} images, in average look and in "
        "variety. 0 would be the same crowd. It falls as sets grow, so only equal counts compare."
        + rank
    )
