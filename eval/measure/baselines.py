"""Noise floor, ceiling and chance: the held-out images in the place of generated ones."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from eval.measure.blocks import Blocks, FidSets, feed
from eval.measure.plan import lacks
from eval.metric import ClipScore, NotEstimable
from eval.source.batch import as_batch, from_dataset, order_of
from zoo.draw import Draw
from zoo.records import Batch
from zoo.system.progress import track


@dataclass
class HeldOut:
    """What the held-out images score.

    Attributes:
        floors: FID's ``<extractor>_<count>`` to the distance and the count it was measured at.
        further: the other metrics' numbers, by name.
        ceiling: extractor's name to the CLIP score with their captions.
        chance: the same with shuffled captions.
    """

    floors: dict[str, list[float]] = field(default_factory=dict)
    further: dict[str, float] = field(default_factory=dict)
    ceiling: dict[str, float] = field(default_factory=dict)
    chance: dict[str, float] = field(default_factory=dict)


def held_out(yardstick: Any, batch_size: int) -> HeldOut:
    """Measures the held-out images of a yardstick whose reference is known."""
    test, num = yardstick.data.test, len(yardstick.data.test)
    # FID at a count that held-out images cannot fill has its floor at the count they have.
    sets = {
        (e.name, count): FidSets(yardstick.reference[e.name], e.name, min(count, num), num)
        for e in yardstick.fid
        for count in yardstick.counts
    }
    clip = [e for e in yardstick.clip if test.captions is not None]
    further = {
        entry: Blocks(partial(yardstick.further.fresh, entry), num)
        for entry in yardstick.further.entries
        if lacks(entry, test.labels, test.captions) is None
    }
    true = {e.name: ClipScore(e.text, e.name) for e in clip}
    random = {e.name: ClipScore(e.text, e.name) for e in clip}
    shuffled = torch.randperm(num, generator=Draw(0, [0], "eval/chance").generators[0]).tolist()
    first, total = 0, -(-num // batch_size)
    batches = from_dataset(test, batch_size, order_of(test))
    for batch in track(batches, total, "features of the noise floor", "batches"):
        last = first + len(batch.images)
        for extractor in yardstick.extractors:
            features = extractor(batch.images)
            feed(extractor.name, features, batch, sets, further)
            if extractor.name in true:
                others = [test.captions[i] for i in shuffled[first:last]]
                true[extractor.name].update(features, as_batch(batch))
                random[extractor.name].update(features, Batch(batch.images, others))
        first = last
    found = HeldOut()
    for (name, count), metric in sets.items():
        scores = metric.compute()
        found.floors[f"{name}_{count}"] = [sum(scores) / len(scores), metric.size]
    for blocks in further.values():
        with suppress(NotEstimable):
            found.further |= {name: e.value for name, e in blocks.estimates().items()}
    found.ceiling = {name: metric.compute()[metric.name] for name, metric in true.items()}
    found.chance = {name: metric.compute()[metric.name] for name, metric in random.items()}
    return found
