"""The pass itself: images through extractors into metrics, and what the numbers are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eval.measure.blocks import Blocks, FidSets, feed
from eval.measure.plan import Entry, lacks
from eval.measure.reference import Yardstick
from eval.metric import ClipScore, FrechetDistance
from eval.result.record import Protocol
from eval.source.batch import Images, Wanted
from eval.source.stored import StoredImages

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
        further: the other metrics of the line-up, in blocks; those that images without labels or
            captions cannot have are left out.
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
        for entry in [entry for entry in further if lacks(entry, batch.labels, batch.captions)]:
            del further[entry]
        for extractor in yardstick.extractors:
            features = extractor(batch.images)
            feed(extractor.name, features, batch, sets, further)
            if extractor.name in scores:
                scores[extractor.name].update(features, batch)
    return Measured(torch.cat(first), seen, sets, scores, further, seconds)


def _fid(yardstick: Yardstick, name: str, count: int, num_images: int) -> FidSets | Blocks:
    """Several disjoint sets where there are images for them; else one, with an interval."""
    reference = yardstick.reference[name]
    if num_images // count > 1:
        return FidSets(reference, name, count, num_images)
    return Blocks(partial(FrechetDistance, reference, name), count)


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
