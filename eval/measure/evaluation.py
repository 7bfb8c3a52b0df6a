"""One evaluation: a model's images, or stored ones, measured in one pass into a result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from eval.extractor.extractor import Extractor
from eval.measure import cache_key
from eval.measure.baselines import Baselines
from eval.measure.cache import Batches, Cache
from eval.measure.one_pass import Measured, one_pass
from eval.measure.plan import Measurement, Plan
from eval.measure.reference import Reference, measure_reference
from eval.measure.reference_features import ReferenceFeatures
from eval.measure.setting import Setting
from eval.measure.values import values_of
from eval.metric import BitsPerDim, ImagesPerSecond, NearestImage
from eval.result import describe
from eval.result.cost import cost
from eval.result.record import Protocol, Result, Subject, Value
from eval.source.batch import Images
from eval.source.dataset import from_dataset, order_of
from eval.source.export import exported
from eval.source.generated import Conditions, conditions, generated
from eval.source.likelihood import with_likelihood
from eval.source.parallel import generated_in_parallel
from zoo.data.image_set import ImageSet
from zoo.module import DiffusionModule


class Evaluation(NamedTuple):
    """A result and the images that it is about.

    Attributes:
        result: the record.
        images: (N, C, H, W) uint8, the first ones that were measured: at most a thousand, fewer
            where the evaluation was found in the cache.
        pairs: (K, 2, C, H, W) uint8, the closest pairs of image and reference image, closest first;
            none where they were not searched for.
    """

    result: Result
    images: Tensor
    pairs: Tensor


def evaluate(
    setting: Setting,
    reference: Reference | Callable[[], Reference] | None = None,
    cache: Cache | None = None,
    export: str | Path | None = None,
) -> Evaluation:
    """Measures a model, or images that were made elsewhere, against a data set.

    Args:
        setting: what is measured.
        reference: real images measured before by the same plan, or a function that gives them;
            measured when None.
        cache: of evaluations made before, for a model whose ``sha256`` is known or stored images.
        export: a folder or an ``.npz`` that the images are written to; they are then made in any
            case.

    Raises:
        ValueError: a count is larger than the number of images, no extractor suits a metric, or the
            model and the data differ in the images' shape.
    """
    _check(setting)
    plan = setting.plan()
    if not (isinstance(setting.subject, ImageSet) or setting.sha256):
        cache = None
    facts = {} if cache is None else cache_key.evaluation(setting, plan)
    known = None if cache is None or export is not None else cache.find(facts)
    if known is not None:
        return renamed(Evaluation(*known), setting)
    if reference is None:
        shape = shape_of(setting)
        batch_size = setting.generation.batch_size
        reference = measure_reference(setting.reference_set, plan, batch_size, cache, shape)
    elif callable(reference):
        reference = reference()
    if reference.plan.counts != plan.counts:
        raise ValueError(
            f"the reference was measured for fid_counts={reference.plan.counts}, not {plan.counts}"
        )
    evaluation = _measure(setting, reference, cache, export)
    if cache is not None:
        cache.keep(facts, *evaluation)
    return evaluation


def renamed(evaluation: Evaluation, setting: Setting) -> Evaluation:
    """An evaluation made before, under the names that it is asked for with."""
    result = evaluation.result
    return evaluation._replace(
        result=replace(
            result,
            subject=replace(result.subject, name=setting.title),
            protocol=replace(result.protocol, name=setting.protocol),
        )
    )


def shape_of(setting: Setting) -> tuple[int, ...]:
    """(C, H, W) of the images that are measured."""
    subject = setting.subject
    if isinstance(subject, ImageSet):
        return subject.shape
    assert isinstance(subject, DiffusionModule)
    return tuple(subject.image_shape)


def _check(setting: Setting) -> None:
    data, shape = setting.reference_set, shape_of(setting)
    if data.train is not None and data.test is not None:
        if data.train.fingerprint == data.test.fingerprint:
            raise ValueError(f"{data.name}: reference and held-out images are the same")
    if data.shape is not None and shape != tuple(data.shape):
        raise ValueError(f"images are {shape}, {data.name} has {tuple(data.shape)}")


def _measure(
    setting: Setting, reference: Reference, cache: Cache | None, export: str | Path | None
) -> Evaluation:
    """The images are made, or read, and measured."""
    subject, num_images = setting.subject, setting.num_images
    stored = isinstance(subject, ImageSet)
    source: Iterator[Images]
    source, wanted, kept = _stored(setting) if stored else _generated(setting, cache)
    if export is not None:
        source = exported(source, Path(export), num_images)
    passing = [m for m in reference.plan.measurements if m.kind.against != "model"]
    if not stored:
        passing.append(Measurement(ImagesPerSecond, None, num_images))
    measured = one_pass(source, reference.plan.only(passing), reference.features, num_images)
    values, absent = values_of(measured, reference.baselines)
    likelihoods, without = _likelihoods(setting, reference.plan)
    device = subject.device if isinstance(subject, DiffusionModule) else torch.device("cpu")
    result = Result(
        values | likelihoods,
        _protocol(setting, wanted, reference.plan),
        describe.budget(setting.facts),
        _subject(setting, measured, wanted),
        describe.environment(device),
        setting.facts,
        reference.plan.absent | absent | without,
    )
    if kept is not None:
        kept.remove()
    return Evaluation(result, measured.images, _closest(measured))


def _stored(setting: Setting) -> tuple[Iterator[Images], Conditions, None]:
    images = setting.subject
    assert isinstance(images, ImageSet)
    order = order_of(images)
    description = "as given" if images.captions is None else "as given, with captions"
    description += ", mixed" if bool((order.diff() < 0).any()) else ""
    source = from_dataset(images, setting.generation.batch_size, order)
    return source, Conditions(description, None, images.captions), None


def _generated(
    setting: Setting, cache: Cache | None
) -> tuple[Iterator[Images], Conditions, Batches | None]:
    """The model's images, what they should show, and where they are kept until all are made."""
    module, how = setting.subject, setting.generation
    assert isinstance(module, DiffusionModule)
    guidance = how.guidance if how.guidance is not None else module.guidance
    data = setting.reference_set
    wanted = conditions(module, data, how.num_images, guidance, how.labels, how.seed)
    arguments = (wanted, how.num_images, how.seed, how.batch_size, how.sampler, guidance)
    make: Callable[..., Iterator[Images]] = functools.partial(generated, module, *arguments)
    if how.parallel is not None:
        make = functools.partial(generated_in_parallel, how.parallel, *arguments)
    if cache is None:
        return make(), wanted, None
    kept = cache.batches({**cache_key.generation(setting), "labels": wanted.description})
    source = kept.resumed(lambda first: make(first=first), wanted, how.num_images)
    return source, wanted, kept


def _likelihoods(setting: Setting, plan: Plan) -> tuple[dict[str, Value], dict[str, str]]:
    """The numbers that the model itself is asked for, or why there are none."""
    values: dict[str, Value] = {}
    absent: dict[str, str] = {}
    for measurement in plan.against("model"):
        metric = measurement.factory()
        assert isinstance(metric, BitsPerDim)
        reason = _no_likelihood(setting)
        if reason is not None:
            absent[measurement.name] = reason
            continue
        module, held_out = setting.subject, setting.reference_set.test
        assert isinstance(module, DiffusionModule) and held_out is not None
        count = len(held_out) if metric.num_images is None else metric.num_images
        if not 2 <= count <= len(held_out):
            raise ValueError(
                f"metric.{metric.stem}.num_images is 2 to {len(held_out)}, the held-out images of "
                f"{setting.reference_set.name}, got {count}"
            )
        how = setting.generation
        batches = with_likelihood(
            module, held_out, count, metric.num_steps, how.seed, how.batch_size
        )
        asked = plan.only([replace(measurement, num_images=count)])
        found, without = values_of(
            one_pass(batches, asked, ReferenceFeatures(asked), count), Baselines()
        )
        values |= found
        absent |= without
    return values, absent


def _no_likelihood(setting: Setting) -> str | None:
    if isinstance(setting.subject, ImageSet):
        return "images have no model whose likelihood could be asked for"
    if setting.reference_set.test is None:
        return "there are no held-out images: say held_out=..."
    assert isinstance(setting.subject, DiffusionModule)
    if setting.subject.first_stage.bounds is None:
        return "a latent model diffuses no 8-bit values: it has no bits per dimension"
    return None


def _closest(measured: Measured) -> Tensor:
    for tally in measured.tallies.values():
        if isinstance(tally.metric, NearestImage):
            return tally.metric.closest()
    return torch.empty(0, dtype=torch.uint8)


def _subject(setting: Setting, measured: Measured, wanted: Conditions) -> Subject:
    """What is compared; images of unknown making have neither size nor sampler."""
    module, how = setting.subject, setting.generation
    if isinstance(module, ImageSet):
        return Subject(setting.title, "images", 0, 0, 0, None, None, 0, 0.0, None)
    assert isinstance(module, DiffusionModule)
    return describe.subject(
        module,
        setting.title,
        how.sampler if how.sampler is not None else module.sampler,
        how.guidance if how.guidance is not None else module.guidance,
        {name: rows / measured.num_images for name, rows in measured.evaluations.items()},
        cost(module, None if wanted.raw is None else wanted.raw[:1]),
        setting.facts,
        setting.sha256,
    )


def _protocol(setting: Setting, wanted: Conditions, plan: Plan) -> Protocol:
    """How it was measured."""
    data, subject = setting.reference_set, setting.subject
    dtype = "8-bit images"
    if not isinstance(subject, ImageSet):
        assert isinstance(subject, DiffusionModule)
        dtype = str(subject.dtype).removeprefix("torch.")
    return Protocol(
        data=data.name,
        data_fingerprint=data.fingerprint,
        image_size=list(shape_of(setting)),
        reference=data.reference,
        num_reference=data.num_reference,
        held_out="none" if data.test is None else data.held_out,
        num_held_out=0 if data.test is None else len(data.test),
        num_generated=setting.num_images,
        fid_counts=plan.counts,
        extractors={e.name: e.sha256 for e in plan.extractors},
        resize={e.name: resize_of(e) for e in plan.extractors},
        labels=wanted.description,
        seed=setting.generation.seed,
        dtype=dtype,
        metrics={m.name: m.settings for m in plan.measurements},
        name=setting.protocol,
    )


def resize_of(extractor: Extractor) -> str:
    """How images reach an extractor's input size."""
    return str(getattr(extractor, "resize", "the extractor's own"))
