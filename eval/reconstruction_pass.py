"""Reconstructions through extractors and metrics of pairs, and what the numbers are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from eval.blocks import Blocks
from eval.extractor.weights import state
from eval.images import Images
from eval.lineup import class_of
from eval.metric import PSNR, SSIM, PairMetric, PerceptualDistance, ReconstructionDistance
from eval.metric.lpips import published
from eval.reconstructions import Pairs
from eval.result import Value
from eval.uncertainty import Estimate, estimable
from eval.values import with_interval

_SHOWN = 500  # pairs that an evaluation keeps
_NO_VGG = "the weights of VGG16 are missing: `zoo doctor` says which file goes where"
_OF_GENERATED = "is of generated images; an autoencoder generates none"

Factory = Callable[[], PairMetric]


def lineup(
    metrics: Sequence[Any], shape: Sequence[int], device: torch.device
) -> tuple[dict[str, Factory], dict[str, str]]:
    """The metrics of pairs by name, and those that cannot be had, each with its reason.

    Args:
        metrics: classes of ``eval.metric``, or partials of them. PSNR, SSIM and LPIPS are measured
            where none of them compares pairs, as far as they can be.
        shape: (C, H, W) of the images.
        device: of the autoencoder; networks are moved there.

    Raises:
        ValueError: one that was asked for cannot be measured on such images.
    """
    absent = {
        kind.stem: _OF_GENERATED
        for kind in map(class_of, metrics)
        if not issubclass(kind, PairMetric)
    }
    asked: list[Any] = [factory for factory in metrics if issubclass(class_of(factory), PairMetric)]
    if asked:
        return {class_of(factory).stem: _tried(factory, shape, device) for factory in asked}, absent
    found = {}
    defaults: tuple[tuple[type[PairMetric], Callable[[], PairMetric]], ...] = (
        (PSNR, PSNR),
        (SSIM, SSIM),
        (PerceptualDistance, lambda: PerceptualDistance(published())),
    )
    for kind, make in defaults:
        try:
            found[kind.stem] = _tried(make, shape, device)
        except ValueError as error:
            missing = kind is PerceptualDistance and state("vgg16") == "missing"
            absent[kind.stem] = _NO_VGG if missing else str(error)
    return found, absent


def _tried(factory: Any, shape: Sequence[int], device: torch.device) -> Factory:
    """The factory, after it has compared one pair of such images."""
    metric: PairMetric = factory()
    metric.place(device)
    blank = torch.zeros(1, *shape, dtype=torch.uint8)
    metric.of(blank, blank)
    return metric.fresh


def measured(
    made: Iterator[Pairs], num_images: int, fid: Sequence[Any], metrics: dict[str, Factory]
) -> tuple[dict[str, Value], Tensor]:
    """Every number, and the first originals, each followed by its reconstruction.

    Args:
        made: the pairs; each extractor runs once over a batch of both.
        num_images: how many will come.
        fid: extractors that rFID is given with.
        metrics: of ``lineup``.
    """
    distances: dict[str, Blocks] = {}
    compared = {name: Blocks(make, num_images) for name, make in metrics.items()}
    kept: list[Tensor] = []
    dimensions, seconds = {}, 0.0
    for batch in made:
        seconds += batch.seconds
        if sum(map(len, kept)) < 2 * _SHOWN:
            kept.append(torch.stack([batch.originals, batch.reconstructions], dim=1).flatten(0, 1))
        images = Images(batch.reconstructions)
        for blocks in compared.values():
            blocks.update(_sides(batch.originals, batch.reconstructions), images)
        for extractor in fid:
            both = extractor(torch.cat([batch.originals, batch.reconstructions]))["pool"]
            if (name := extractor.name) not in distances:
                dimensions[name] = both.shape[1]
                make = partial(ReconstructionDistance, both.shape[1], name)
                distances[name] = Blocks(make, num_images)
            distances[name].update(_sides(*both.chunk(2)), images)
    values = {}
    for extractor in fid:
        (estimate,) = distances[extractor.name].estimates().values()
        name = f"rfid_{extractor.name}_{num_images}"
        values[name] = _distance(extractor, estimate, num_images, dimensions[extractor.name])
    for name, blocks in compared.items():
        values[name] = _compared(metrics[name](), blocks.estimates(), num_images)
    values["images_per_second"] = Value(
        value=num_images / seconds,
        definition="Images encoded and decoded per second on the machine named above.",
        higher_is_better=True,
        num_images=num_images,
    )
    return values, torch.cat(kept)[: 2 * _SHOWN]


def _sides(originals: Tensor, reconstructions: Tensor) -> dict[str, Tensor]:
    return {"original": originals, "reconstruction": reconstructions}


def _distance(extractor: Any, estimate: Estimate, num_images: int, dimensions: int) -> Value:
    value = Value(
        value=estimate.value,
        definition=f"Fréchet distance, with the features of the network '{extractor.name}', of "
        f"the reconstructions of {num_images:,} held-out images to these images themselves, not "
        "to training images: what the autoencoder changes in average look and in variety. 0 would "
        "be no change. It falls as sets grow, so only equal counts compare.",
        higher_is_better=False,
        extractor=extractor.name,
        sha256=extractor.sha256,
        num_images=num_images,
        detail={"dimensions": float(dimensions)},
    )
    value = with_interval(value, estimate)
    if estimate.pseudo and estimable(num_images, len(estimate.pseudo), dimensions):
        value = replace(value, corrected=estimate.corrected)
    return value


def _compared(metric: PairMetric, estimates: dict[str, Estimate], num_images: int) -> Value:
    value = Value(
        value=estimates[metric.name].value,
        definition=metric.definition,
        higher_is_better=metric.higher_is_better,
        extractor=metric.network,
        sha256=metric.sha256,
        num_images=num_images,
        detail={"deviation": estimates[f"{metric.name}_deviation"].value},
    )
    return with_interval(value, estimates[metric.name])
