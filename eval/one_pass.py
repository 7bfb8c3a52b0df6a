"""The pass itself: images through extractors into metrics, and what the numbers are called."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eval.blocks import Blocks
from eval.fid_sets import FidSets
from eval.images import Images, Wanted
from eval.lineup import Entry
from eval.metric import ClassAccuracy, ClipScore, FrechetDistance
from eval.nearest import nearest, pairs, percentiles
from eval.result import Protocol, Value
from eval.stored import StoredImages
from eval.uncertainty import BLOCKS, Estimate, estimable
from eval.yardstick import Yardstick

SHOWN = 100
"""Images that are kept for pictures at least."""


class Measured(NamedTuple):
    """What one pass gathered.

    Attributes:
        images: the first ones, uint8: as many as a nearest neighbour is searched for, or as are
            shown.
        num_images: how many there were.
        fid: (extractor's name, set size) to one metric in blocks, or to those of several sets.
        clip: extractor's name to the metric in blocks.
        further: the other metrics of the line-up, in blocks.
        seconds: that making the images took.
    """

    images: Tensor
    num_images: int
    fid: dict[tuple[str, int], FidSets | Blocks]
    clip: dict[str, Blocks]
    further: dict[Entry, Blocks]
    seconds: float


def one_pass(
    made: Iterator[Images],
    num_images: int,
    clip: Sequence[Any],
    yardstick: Yardstick,
    nearest_images: int = 1000,
) -> Measured:
    """Feeds each distinct extractor once per batch, and every metric from it.

    Args:
        made: the images.
        num_images: how many will come.
        clip: extractors that CLIP score is given with.
        yardstick: what they are held against.
        nearest_images: how many the nearest reference image is searched for.
    """
    sets = {
        (e.name, count): _fid(yardstick, e.name, count, num_images)
        for e in yardstick.fid
        for count in yardstick.counts
    }
    scores = {e.name: Blocks(partial(ClipScore, e.text, e.name), num_images) for e in clip}
    reference = yardstick.further
    further = {e: Blocks(partial(reference.fresh, e), num_images) for e in reference.entries}
    first, seconds, seen = [], 0.0, 0
    for batch in made:
        seconds += batch.seconds
        first.append(batch.images[: max(0, max(nearest_images, SHOWN) - seen)].clone())
        seen += len(batch.images)
        if batch.labels is None:  # no class was asked for, so none can be right
            further = {e: blocks for e, blocks in further.items() if e.kind is not ClassAccuracy}
        if batch.captions is None:
            further = {e: blocks for e, blocks in further.items() if e.kind.against != "text"}
        for extractor in yardstick.extractors:
            features = extractor(batch.images)
            for entry, blocks in further.items():
                if entry.extractor.name == extractor.name:
                    blocks.update(features, batch)
            for (name, _), metric in sets.items():
                if name == extractor.name:
                    metric.update(features, batch)
            if extractor.name in scores:
                scores[extractor.name].update(features, batch)
    return Measured(torch.cat(first), seen, sets, scores, further, seconds)


def _fid(yardstick: Yardstick, name: str, count: int, num_images: int) -> FidSets | Blocks:
    """Several disjoint sets where there are images for them; else one, with an interval."""
    reference = yardstick.reference[name]
    if num_images // count > 1:
        return FidSets(reference, name, count, num_images)
    return Blocks(partial(FrechetDistance, reference, name), count)


def values_of(
    measured: Measured, yardstick: Yardstick, nearest_images: int
) -> tuple[dict[str, Value], Tensor]:
    """Every number, with its definition and what it has to be read beside; the closest pairs."""
    values: dict[str, Value] = {}
    sha256 = {e.name: e.sha256 for e in yardstick.extractors}
    for (extractor, count), sets in measured.fid.items():
        floor, floor_images = yardstick.real.floors.get(f"{extractor}_{count}", (None, None))
        dimensions = yardstick.reference[extractor].dimensions
        found = sets.compute() if isinstance(sets, FidSets) else []
        value = Value(
            value=sum(found) / max(1, len(found)),
            definition=_fid_definition(extractor, count, len(found), yardstick),
            higher_is_better=False,
            extractor=extractor,
            sha256=sha256[extractor],
            num_images=count,
            num_sets=max(1, len(found)),
            floor=floor,
            floor_images=None if floor_images is None else int(floor_images),
            detail={
                "dimensions": float(dimensions),
                **{f"set_{i + 1}": distance for i, distance in enumerate(found)},
            },
        )
        if isinstance(sets, Blocks):
            (estimate,) = sets.estimates().values()
            value = with_interval(value, estimate)
            if estimate.pseudo and estimable(count, BLOCKS, dimensions):
                value = replace(value, corrected=estimate.corrected)
        values[f"fid_{extractor}_{count}"] = value
    for extractor, score in measured.clip.items():
        ((name, estimate),) = score.estimates().items()
        value = Value(
            value=estimate.value,
            definition="How well images fit their captions, from 0 to 100, judged by a network "
            f"({extractor}) that was trained to match images with captions. Read it between its "
            "chance (shuffled captions) and its ceiling (real images).",
            higher_is_better=True,
            extractor=extractor,
            sha256=sha256[extractor],
            num_images=measured.num_images,
            ceiling=yardstick.real.ceiling.get(extractor),
            chance=yardstick.real.chance.get(extractor),
        )
        values[name] = with_interval(value, estimate)
    for entry, blocks in measured.further.items():
        values |= _further(entry, blocks, yardstick, measured.num_images)
    closest = torch.empty(0, dtype=torch.uint8)
    if nearest_images and yardstick.data.train is not None:
        values["nearest_training_image"], closest = _nearest(
            measured.images[:nearest_images], yardstick
        )
    if measured.seconds:
        values["images_per_second"] = Value(
            value=measured.num_images / measured.seconds,
            definition="Images generated per second on the machine named above, decoding included.",
            higher_is_better=True,
            num_images=measured.num_images,
        )
    return values, closest


def _further(
    entry: Entry, blocks: Blocks, yardstick: Yardstick, num_images: int
) -> dict[str, Value]:
    """The numbers of one metric of the line-up."""
    metric = yardstick.further.fresh(entry)
    return {
        name: with_interval(
            Value(
                value=estimate.value,
                definition=metric.define(name),
                higher_is_better=entry.kind.higher_is_better,
                extractor=entry.extractor.name,
                sha256=entry.extractor.sha256,
                num_images=num_images,
                floor=yardstick.real.further.get(name),
                floor_images=None if yardstick.data.test is None else len(yardstick.data.test),
            ),
            estimate,
        )
        for name, estimate in blocks.estimates().items()
    }


def with_interval(value: Value, estimate: Estimate) -> Value:
    """The value with its jackknife; as it is where there were too few images for blocks."""
    value = replace(value, value=estimate.value)
    if not math.isfinite(estimate.standard_error):
        return value
    return replace(
        value,
        standard_error=estimate.standard_error,
        interval=[estimate.low, estimate.high],
        blocks=list(estimate.pseudo),
    )


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


def protocol_of(
    data: Any,
    want: Wanted,
    yardstick: Yardstick,
    num_images: int,
    seed: int,
    subject: Any,
    name: str = "",
) -> Protocol:
    """How it was measured."""
    extractors = yardstick.extractors
    metrics = {f"fid_{e.name}": "Fréchet distance, float64, pooled features" for e in yardstick.fid}
    metrics |= {f"clip_score_{e.name}": ClipScore.definition for e in yardstick.clip}
    metrics |= {
        f"{entry.kind.stem}_{entry.extractor.name}": entry.settings
        for entry in yardstick.further.entries
    }
    stored = isinstance(subject, StoredImages)
    return Protocol(
        data=data.name,
        data_fingerprint=data.fingerprint,
        image_size=list(subject.shape if stored else subject.image_shape),
        reference=getattr(data, "reference", "train"),
        num_reference=yardstick.num_reference,
        held_out="none" if data.test is None else getattr(data, "held_out", "test"),
        num_held_out=0 if data.test is None else len(data.test),
        num_generated=num_images,
        fid_counts=yardstick.counts,
        extractors={e.name: e.sha256 for e in extractors},
        resize={e.name: str(getattr(e, "resize", "the extractor's own")) for e in extractors},
        labels=want.protocol,
        seed=seed,
        dtype="8-bit images" if stored else str(subject.dtype).removeprefix("torch."),
        metrics=metrics,
        name=name,
    )
