"""How well an autoencoder reconstructs images: rFID, PSNR, SSIM and LPIPS of held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from eval.extractor.weights import state
from eval.measure import cache_key
from eval.measure.baselines import Baselines
from eval.measure.cache import Cache
from eval.measure.evaluation import Evaluation, renamed, resize_of
from eval.measure.one_pass import one_pass
from eval.measure.plan import Measurement, MetricFactory, Plan, class_of, suited
from eval.measure.reference_features import ReferenceFeatures
from eval.measure.setting import Setting
from eval.measure.values import values_of
from eval.metric import (
    PSNR,
    SSIM,
    ImagesPerSecond,
    PairMetric,
    PerceptualDistance,
    ReconstructionDistance,
)
from eval.result import describe
from eval.result.record import Protocol, Result
from eval.source.dataset import mixed
from eval.source.reconstructed import LATENTS, first_stage_of, reconstructed
from zoo.data.image_set import ImageSet
from zoo.system.progress import track

DEFAULTS: tuple[MetricFactory, ...] = (
    ReconstructionDistance,
    PSNR,
    SSIM,
    PerceptualDistance,
)
"""What is measured where no metric of pairs is chosen, as far as it can be."""

_NO_VGG = "the weights of VGG16 are missing: `zoo doctor` says which file goes where"
_SPEED = "encoded and decoded per second"
_OF_GENERATED = "is of generated images; an autoencoder generates none"


def reconstruct(
    setting: Setting, posterior: str = "mean", cache: Cache | None = None
) -> Evaluation:
    """Encodes and decodes held-out images in one pass, and measures what became of them.

    rFID is the Fréchet distance of the reconstructions to the very images that were reconstructed,
    as in the tables of latent diffusion's and Stable Diffusion's first stages; taming-transformers
    gives it against the training split as well, which is another number.

    Args:
        setting: its subject is an ``Autoencoder``, or a first stage; at most ``num_images``
            held-out images are taken. Metrics of generated images are left out, and the result says
            so; ``DEFAULTS`` are measured where none compares pairs.
        posterior: what is decoded: the "mean" of the latents' distribution, or a "sample".
        cache: of evaluations made before, for a model whose ``sha256`` is known.

    Returns:
        The evaluation. Its images are originals, each followed by its reconstruction.

    Raises:
        ValueError: nothing is held out, the images do not fit the autoencoder, or a metric that was
            asked for cannot be measured.
    """
    module, data, how = setting.subject, setting.reference_set, setting.generation
    if isinstance(module, ImageSet):
        raise ValueError("images alone are no reconstructions: give an autoencoder")
    first_stage = first_stage_of(module)
    if posterior not in LATENTS:
        raise ValueError(f"reconstruct={posterior}: possible are {', '.join(LATENTS)}")
    if data.test is None or data.shape is None:
        raise ValueError(f"an autoencoder is measured on held-out images; {data.name} has none")
    indices = mixed(len(data.test), how.num_images)
    count = len(indices)
    if count < 2:
        raise ValueError(f"rFID needs at least 2 images, got num_images={how.num_images}")
    device = next(first_stage.parameters()).device
    plan = pair_plan(setting, count, data.shape, device)
    protocol = _protocol(setting, plan, count, posterior)
    facts: dict[str, Any] = {}
    if cache is not None and setting.sha256:
        facts = _facts(setting, plan, protocol, device)
        if (known := cache.find(facts)) is not None:
            return renamed(Evaluation(*known), setting)
    batches = reconstructed(module, data.test, indices, posterior, how.seed, how.batch_size)
    tracked = track(batches, -(-count // how.batch_size), "reconstructions", "batches")
    speed = Measurement(partial(ImagesPerSecond, how=_SPEED), None, count)
    passing = plan.only([*plan.measurements, speed])
    measured = one_pass(tracked, passing, ReferenceFeatures(passing), count)
    values, absent = values_of(measured, Baselines())
    result = Result(
        values,
        protocol,
        describe.budget(setting.facts),
        describe.autoencoder(module, setting.title, data.shape, setting.facts, setting.sha256),
        describe.environment(device),
        setting.facts,
        plan.absent | absent,
    )
    no_pairs = torch.empty(0, dtype=torch.uint8)  # nothing was generated that could be a copy
    evaluation = Evaluation(result, measured.images, no_pairs)
    if facts and cache is not None:
        cache.keep(facts, *evaluation)
    return evaluation


def pair_plan(setting: Setting, count: int, shape: Sequence[int], device: torch.device) -> Plan:
    """The metrics of pairs, and those that cannot be measured, each with its reason.

    Args:
        setting: for its metrics and extractors.
        count: of the pairs.
        shape: (C, H, W) of the images.
        device: of the autoencoder; networks are moved there.

    Raises:
        ValueError: one that was asked for cannot be measured on such images.
    """
    kinds = {factory: class_of(factory) for factory in setting.metrics}
    generated = [k for k in kinds.values() if k.against != "pairs" and not k.optional]
    absent = {kind.stem: _OF_GENERATED for kind in generated}
    chosen = [factory for factory, kind in kinds.items() if kind.against == "pairs"]
    measurements: list[Measurement] = []
    for factory in chosen or DEFAULTS:
        try:
            measurements += _pair_measurements(factory, setting, count, shape, device)
        except ValueError as error:
            if chosen:
                raise
            kind = class_of(factory)
            missing = kind is PerceptualDistance and state("vgg16") == "missing"
            absent[kind.stem] = _NO_VGG if missing else str(error)
    return Plan(tuple(measurements), absent)


def _pair_measurements(
    factory: MetricFactory,
    setting: Setting,
    count: int,
    shape: Sequence[int],
    device: torch.device,
) -> list[Measurement]:
    kind = class_of(factory)
    if issubclass(kind, ReconstructionDistance):
        return [
            Measurement(factory, extractor, count, count)
            for extractor in suited(kind, setting.extractors, None)
        ]
    metric = cast("PairMetric", factory())
    metric.place(device)
    blank = torch.zeros(1, *shape, dtype=torch.uint8)
    metric.compare(blank, blank)  # such images can be compared
    return [Measurement(metric.factory(), None, count)]


def _protocol(setting: Setting, plan: Plan, count: int, posterior: str) -> Protocol:
    """How it was measured; the reference is what was reconstructed."""
    data, module = setting.reference_set, cast("nn.Module", setting.subject)
    pairs = [cast("PairMetric", m.factory()) for m in plan.measurements if m.extractor is None]
    networks = {f"{m.name} ({m.network})": m.sha256 for m in pairs if m.network and m.sha256}
    distances = [m for m in plan.measurements if m.extractor is not None]
    assert data.shape is not None and data.test is not None
    return Protocol(
        data=data.name,
        data_fingerprint=data.fingerprint,
        image_size=list(data.shape),
        reference=f"{count:,} held-out images, those that were reconstructed",
        num_reference=count,
        held_out=data.held_out,
        num_held_out=len(data.test),
        num_generated=count,
        fid_counts=plan.counts,
        extractors={e.name: e.sha256 for e in plan.extractors} | networks,
        resize={e.name: resize_of(e) for e in plan.extractors},
        labels=f"reconstructions of held-out images, from {LATENTS[posterior]}",
        seed=setting.generation.seed,
        dtype=str(next(first_stage_of(module).parameters()).dtype).removeprefix("torch."),
        metrics={m.name: m.settings for m in distances}
        | {metric.name: metric.description() for metric in pairs},
        name=setting.protocol,
    )


def _facts(
    setting: Setting, plan: Plan, protocol: Protocol, device: torch.device
) -> dict[str, Any]:
    """Everything that could move a number; a metric whose weights were missing is looked for."""
    module = cast("nn.Module", setting.subject)
    kinds = [*map(type, (module, first_stage_of(module), *plan.extractors))]
    kinds += [class_of(factory) for factory in setting.metrics]
    return {
        "reconstruction": asdict(replace(protocol, name="")),
        "weights": setting.sha256,
        "device": device.type,
        "absent": plan.absent,
        "extractors": [cache_key.extractor(extractor) for extractor in plan.extractors],
        "own_parts": cache_key.own_source({kind.__module__ for kind in kinds}),
    }
