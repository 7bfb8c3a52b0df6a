"""One extractor's features of one batch, handed to every metric that reads them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from eval.blocks import Blocks
from eval.fid_sets import FidSets
from eval.images import Images
from eval.lineup import Entry


def feed(
    extractor: str,
    features: dict[str, Tensor],
    batch: Images,
    sets: Mapping[tuple[str, int], FidSets | Blocks],
    further: Mapping[Entry, Blocks],
) -> None:
    """Updates what belongs to this extractor.

    Args:
        extractor: its name.
        features: of the batch.
        batch: the images that they were made of.
        sets: (extractor's name, set size) to FID.
        further: the metrics of the line-up.
    """
    for entry, blocks in further.items():
        if entry.extractor.name == extractor:
            blocks.update(features, batch)
    for (name, _), metric in sets.items():
        if name == extractor:
            metric.update(features, batch)
