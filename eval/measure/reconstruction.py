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
from eval.measure.evaluation import Evaluation, renamed
from eval.measure.one_pass import one_pass
from eval.measure.plan import Measurement, MetricFactory, Plan, class_of, suited
from eval.measure.reference_features import ReferenceFeatures
from eval.measure.setting import Setting, protocol_of
from eval.measure.values import values_of
from eval.metric import (
    PSNR,
    SSIM,
    ImagesPerSecond,
    PairMetric,
    PerceptualDistance,
    ReconstructionDistance,
)
from eval.result import Protocol, Result, describe
from eval.source.dataset import mixed
from eval.source.reconstructed import LATENTS, first_stage_of, reconstructed
from zoo.data.image_set import ImageSet
from zoo.system.progress import track

DEFAULTS: tuple[MetricFactory, ...] = (ReconstructionDistance, PSNR, SSIM, PerceptualDistance)
"""The metrics of pairs that are measured, where possible, if none is chosen."""

_NO_VGG = "the weights of VGG16 are missing: `zoo doctor` says which file goes where"
_SPEED = "encoded and decoded per second"
_OF_GENERATED = "is of generated images; an autoencoder generates none"


def reconstruct(
    setting: Setting, posterior: str = "mean", cache: Cache | None = None
) -> Evaluation:
    """Encodes and decodes held-out images in one pass, and measures the reconstructions.

    rFID is the Fréchet distance of the reconstructions to their originals, as in the tables of
    latent diffusion's and Stable Diffusion's first stages; taming-transformers also gives it
    against the training split, which is another number.

    Args:
        setting: its subject is an ``Autoencoder``, or a first stage; at most ``num_images``
            held-out images are reconstructed. Metrics of generated images are left out, and the
            result says so; ``DEFAULTS`` are measured where none compares pairs.
        posterior: the "mean" of the latents' distribution, or a "sample", is decoded.
        cache: of earlier evaluations, for a model whose ``sha256`` is known.

    Returns:
        The evaluation. Its images are originals, each followed by its reconstruction.

    Raises:
        ValueError: nothing is held out, the images do not fit the autoencoder, or a chosen metric
            cannot be measured.
    """
    module, data, how = setting.subject, setting.reference_set, setting.generation
    if isinstance(module, ImageSet):
        raise ValueError("images alone are not reconstructions: give an autoencoder")
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
        if (earlier := cache.find(facts)) is not None:
            return renamed(Evaluation(*earlier), setting)
    batches = reconstructed(module, data.test, indices, posterior, how.seed, how.batch_size)
    tracked = track(batches, -(-count // how.batch_size), "reconstructions", "batches")
    speed = Measurement(partial(ImagesPerSecond, how=_SPEED), None, count)
    plan_with_speed = plan.only([*plan.measurements, speed])
    tallies = one_pass(tracked, plan_with_speed, ReferenceFeatures(plan_with_speed), count)
    values, absent = values_of(tallies, Baselines())
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
    evaluation = Evaluation(result, tallies.images, no_pairs)
    if facts and cache is not None:
        cache.keep(facts, *evaluation)
    return evaluation


def pair_plan(setting: Setting, count: int, shape: Sequence[int], device: torch.device) -> Plan:
    """The metrics of pairs, and those that cannot be measured, each with its reason.

    Networks are moved to ``device``; ``shape`` is (C, H, W).

    Raises:
        ValueError: a chosen metric cannot be measured on such images.
    """
    kinds = {factory: class_of(factory) for factory in setting.metrics}
    generated = [kind for kind in kinds.values() if kind.against != "pairs"]
    absent = {kind.stem: _OF_GENERATED for kind in generated}
    of_pairs = [factory for factory, kind in kinds.items() if kind.against == "pairs"]
    measurements: list[Measurement] = []
    for factory in of_pairs or DEFAULTS:
        try:
            measurements += _pair_measurements(factory, setting, count, shape, device)
        except ValueError as error:
            if of_pairs:
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
    metric.compare(blank, blank)  # fails early where such images cannot be compared
    return [Measurement(metric.factory(), None, count)]


def _protocol(setting: Setting, plan: Plan, count: int, posterior: str) -> Protocol:
    """How it was measured; the reference is the reconstructed images."""
    data, module = setting.reference_set, cast("nn.Module", setting.subject)
    pairs = [cast("PairMetric", m.factory()) for m in plan.measurements if m.extractor is None]
    networks = {f"{m.name} ({m.network})": m.sha256 for m in pairs if m.network and m.sha256}
    distances = [m for m in plan.measurements if m.extractor is not None]
    assert data.shape is not None
    return protocol_of(
        setting,
        plan,
        image_size=list(data.shape),
        reference=f"{count:,} held-out images, those that were reconstructed",
        num_reference=count,
        num_generated=count,
        extractors={e.name: e.sha256 for e in plan.extractors} | networks,
        labels=f"reconstructions of held-out images, from {LATENTS[posterior]}",
        dtype=str(next(first_stage_of(module).parameters()).dtype).removeprefix("torch."),
        metrics={m.name: m.settings for m in distances}
        | {metric.name: metric.description() for metric in pairs},
    )


def _facts(
    setting: Setting, plan: Plan, protocol: Protocol, device: torch.device
) -> dict[str, Any]:
    """Everything that could move a number, metrics whose weights are missing included."""
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
