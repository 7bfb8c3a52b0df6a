"""How well an autoencoder gives images back: rFID, PSNR, SSIM and LPIPS of held-out images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from eval.extractor.weights import state
from eval.measure.blocks import Blocks
from eval.measure.cache import Cache
from eval.measure.cache_key import extractor as extractor_facts
from eval.measure.cache_key import own_source
from eval.measure.evaluation import Evaluation
from eval.measure.plan import class_of
from eval.measure.values import with_interval
from eval.metric import PSNR, SSIM, PairMetric, PerceptualDistance, ReconstructionDistance
from eval.metric.pair.lpips import published
from eval.result import describe
from eval.result.record import Protocol, Result, Value
from eval.result.uncertainty import Estimate, estimable
from eval.source.batch import Images, mixed
from eval.source.reconstructed import LATENTS, Pairs, first_stage_of, reconstructions
from zoo.system.progress import track

_SHOWN = 500  # pairs that an evaluation keeps
_NO_VGG = "the weights of VGG16 are missing: `zoo doctor` says which file goes where"
_OF_GENERATED = "is of generated images; an autoencoder generates none"

Factory = Callable[[], PairMetric]


def reconstruct(
    module: Any,
    data: Any,
    fid: Sequence[Any] = (),
    metrics: Sequence[Any] = (),
    *,
    num_images: int = 1000,
    seed: int = 0,
    batch_size: int = 256,
    name: str | None = None,
    facts: dict[str, Any] | None = None,
    sha256: str | None = None,
    cache: Cache | None = None,
    posterior: str = "mean",
    protocol: str = "",
) -> Evaluation:
    """Encodes and decodes held-out images in one pass, and measures what became of them.

    rFID is the Fréchet distance of the reconstructions to the very images that were reconstructed,
    as in the tables of latent diffusion's and Stable Diffusion's first stages; taming-transformers
    gives it against the training split as well, which is another number.

    Args:
        module: an ``Autoencoder``, or its first stage.
        data: a data set after ``setup()``, with a held-out split.
        fid: extractors that rFID is given with.
        metrics: of ``eval.metric``, as classes or partials; PSNR, SSIM and LPIPS where none of
            them compares pairs. Those of generated images are left out, and the result says so.
        num_images: how many held-out images are taken; all where there are fewer.
        seed: of the draws of "sample".
        batch_size: images at a time.
        name: the row's name; the class when None.
        facts: the checkpoint's provenance.
        sha256: of the checkpoint file.
        cache: of evaluations made before, for a model whose ``sha256`` is known.
        posterior: what is decoded: the "mean" of the latents' distribution, or a "sample".
        protocol: its name and version.

    Returns:
        The evaluation. Its images are originals, each followed by its reconstruction.

    Raises:
        ValueError: nothing is held out, the images do not fit the autoencoder, or a metric that was
            asked for cannot be had.
    """
    if posterior not in LATENTS:
        raise ValueError(f"reconstruct={posterior}: possible are {', '.join(LATENTS)}")
    if data.test is None:
        raise ValueError(f"an autoencoder is measured on held-out images; {data.name} has none")
    indices = mixed(len(data.test), num_images)
    if len(indices) < 2:
        raise ValueError(f"rFID needs at least 2 images, got num_images={num_images}")
    title, facts = name or type(module).__name__, facts or {}
    device = next(first_stage_of(module).parameters()).device
    pairs, absent = lineup(metrics, data.shape, device)
    how = _protocol(module, data, fid, pairs, len(indices), seed, posterior, protocol)

    asked = {}
    if cache is not None and sha256:
        kinds = {type(one) for one in (module, first_stage_of(module), *fid)}
        kinds |= {class_of(metric) for metric in metrics}
        asked = _depends_on(how, sha256, device, absent, fid, kinds)
        if (known := cache.find(asked)) is not None:
            result = known[0]
            renamed = replace(result, subject=replace(result.subject, name=title))
            return Evaluation(renamed, *known[1:])

    made = reconstructions(module, data.test, indices, posterior, seed, batch_size)
    total = -(-len(indices) // batch_size)
    made = track(made, total, "reconstructions", "batches")
    values, images = measured(made, len(indices), fid, pairs)
    result = Result(
        values,
        how,
        describe.budget(facts),
        describe.autoencoder(module, title, data.shape, facts, sha256),
        describe.environment(device),
        facts,
        absent,
    )
    closest = torch.empty(0, dtype=torch.uint8)  # nothing was generated that could be a copy
    if asked and cache is not None:
        cache.keep(asked, result, images, closest)
    return Evaluation(result, images, closest)


def _protocol(
    module: Any,
    data: Any,
    fid: Sequence[Any],
    pairs: dict[str, Factory],
    num_images: int,
    seed: int,
    posterior: str,
    name: str,
) -> Protocol:
    """How it was measured; the reference is what was reconstructed."""
    metrics = {f"rfid_{e.name}": "Fréchet distance, float64, pooled features" for e in fid}
    found = [make() for make in pairs.values()]
    networks = {f"{m.name} ({m.network})": m.sha256 for m in found if m.network and m.sha256}
    first_stage = first_stage_of(module)
    return Protocol(
        data=data.name,
        data_fingerprint=data.fingerprint,
        image_size=list(data.shape),
        reference=f"{num_images:,} held-out images, those that were reconstructed",
        num_reference=num_images,
        held_out=getattr(data, "held_out", "test"),
        num_held_out=len(data.test),
        num_generated=num_images,
        fid_counts=[num_images],
        extractors={e.name: e.sha256 for e in fid} | networks,
        resize={e.name: str(getattr(e, "resize", "the extractor's own")) for e in fid},
        labels=f"reconstructions of held-out images, from {LATENTS[posterior]}",
        seed=seed,
        dtype=str(next(first_stage.parameters()).dtype).removeprefix("torch."),
        metrics=metrics | {metric.name: metric.told() for metric in found},
        name=name,
    )


def _depends_on(
    protocol: Protocol,
    sha256: str,
    device: torch.device,
    absent: dict[str, str],
    fid: Sequence[Any],
    kinds: set[type],
) -> dict[str, Any]:
    """Everything that could move a number; a metric whose weights were missing is looked for."""
    return {
        "reconstruction": asdict(protocol),
        "weights": sha256,
        "device": device.type,
        "absent": absent,
        "extractors": [extractor_facts(one) for one in fid],
        "own_parts": own_source({kind.__module__ for kind in kinds}),
    }


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
