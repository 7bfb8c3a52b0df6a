"""One evaluation: a model's images, or stored ones, measured in one pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from eval.measure import cache_key
from eval.measure.cache import Batches, Cache
from eval.measure.likelihood import check_likelihood, likelihood_values
from eval.measure.one_pass import Tallies, one_pass
from eval.measure.plan import Measurement, Plan
from eval.measure.reference import Reference, measure_reference
from eval.measure.setting import Setting, protocol_of
from eval.measure.values import values_of
from eval.metric import ImagesPerSecond, NearestImage
from eval.result import Protocol, Result, Subject, describe
from eval.result.cost import cost
from eval.source.batch import Images
from eval.source.dataset import from_dataset, order_of
from eval.source.export import exported
from eval.source.generated import Conditions, conditions_of, generated, parts
from eval.source.parallel import generated_in_parallel
from zoo.data.image_set import ImageSet
from zoo.module import DiffusionModule


class Evaluation(NamedTuple):
    """A result and images that belong to it.

    Attributes:
        result: the record.
        images: (N, C, H, W) uint8, the first ones: at most a thousand, fewer where the evaluation
            comes from the cache.
        pairs: (K, 2, C, H, W) uint8, the closest pairs of image and reference image, closest first;
            empty where they were not searched for.
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
    """Measures a model, or stored images, against a data set.

    Args:
        setting: the subject, the data and the metrics.
        reference: real images, already measured by the same plan, or a function that returns them;
            measured here when None.
        cache: of earlier evaluations, for a model whose ``sha256`` is known or stored images.
        export: a folder or an ``.npz`` that the images are written to; the cache's evaluations are
            not used then.

    Raises:
        ValueError: a count is larger than the number of images, no extractor suits a metric, or the
            model and the data differ in the images' shape.
    """
    _check(setting)
    plan = setting.plan()
    check_likelihood(setting, plan)
    if not (isinstance(setting.subject, ImageSet) or setting.sha256):
        cache = None
    facts = {} if cache is None else cache_key.evaluation(setting, plan)
    earlier = None if cache is None or export is not None else cache.find(facts)
    if earlier is not None:
        return renamed(Evaluation(*earlier), setting)
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
    """An earlier evaluation under the setting's names."""
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
    if not isinstance(setting.subject, ImageSet | DiffusionModule):
        raise ValueError(
            "what is evaluated is a DiffusionModule or an ImageSet, got a "
            f"{type(setting.subject).__name__}; reconstruct() measures autoencoders"
        )
    data, shape = setting.reference_set, shape_of(setting)
    if data.train is not None and data.test is not None:
        if data.train.fingerprint == data.test.fingerprint:
            raise ValueError(f"{data.name}: reference and held-out images are the same")
    if data.shape is not None and shape != tuple(data.shape):
        raise ValueError(f"images are {shape}, {data.name} has {tuple(data.shape)}")


def _measure(
    setting: Setting, reference: Reference, cache: Cache | None, export: str | Path | None
) -> Evaluation:
    """Generates or reads the images, and measures them."""
    subject, num_images = setting.subject, setting.num_images
    stored = isinstance(subject, ImageSet)
    source: Iterator[Images]
    source, conditions, batches = _stored(setting) if stored else _generated(setting, cache)
    if export is not None:
        source = exported(source, Path(export), num_images)
    measurements = [m for m in reference.plan.measurements if m.kind.against != "model"]
    if not stored:
        measurements.append(Measurement(ImagesPerSecond, None, num_images))
    plan = reference.plan.only(measurements)
    tallies = one_pass(source, plan, reference.features, num_images)
    values, absent = values_of(tallies, reference.baselines)
    likelihoods, without_likelihood = likelihood_values(setting, reference.plan)
    device = subject.device if isinstance(subject, DiffusionModule) else torch.device("cpu")
    result = Result(
        values | likelihoods,
        _protocol(setting, conditions, reference.plan),
        describe.budget(setting.facts),
        _subject(setting, tallies, conditions),
        describe.environment(device),
        setting.facts,
        plan.absent | absent | without_likelihood,
    )
    if batches is not None:
        batches.remove()
    return Evaluation(result, tallies.images, _closest(tallies))


def _stored(setting: Setting) -> tuple[Iterator[Images], Conditions, None]:
    images = setting.subject
    assert isinstance(images, ImageSet)
    order = order_of(images)
    description = "as given" if images.captions is None else "as given, with captions"
    description += ", mixed" if bool((order.diff() < 0).any()) else ""
    source = from_dataset(images, setting.generation.batch_size, order)
    captions = None if images.captions is None else list(images.captions)
    return source, Conditions(description, None, captions), None


def _generated(
    setting: Setting, cache: Cache | None
) -> tuple[Iterator[Images], Conditions, Batches | None]:
    """The model's images with their conditions, and the files of those already generated."""
    module, how = setting.subject, setting.generation
    assert isinstance(module, DiffusionModule)
    guidance = how.guidance if how.guidance is not None else module.guidance
    data = setting.reference_set
    conditions = conditions_of(module, data, how.num_images, guidance, how.labels, how.seed)
    arguments = (conditions, how.num_images, how.seed, how.batch_size, how.sampler, guidance)
    make: Callable[..., Iterator[Images]] = functools.partial(generated, module, *arguments)
    if how.parallel is not None:
        make = functools.partial(generated_in_parallel, how.parallel, *arguments)
    if cache is None:
        return make(), conditions, None
    facts = {**cache_key.generation(setting), "labels": conditions.description}
    batches = cache.batches(facts)
    boundaries = parts(0, how.num_images, how.batch_size)
    source = batches.resumed(lambda first: make(first=first), conditions, boundaries)
    return source, conditions, batches


def _closest(tallies: Tallies) -> Tensor:
    for tally in tallies.by_measurement.values():
        if isinstance(tally.metric, NearestImage):
            return tally.metric.closest()
    return torch.empty(0, dtype=torch.uint8)


def _subject(setting: Setting, tallies: Tallies, conditions: Conditions) -> Subject:
    """The description of the subject; stored images have neither size nor sampler."""
    module, how = setting.subject, setting.generation
    if isinstance(module, ImageSet):
        return Subject(setting.title, "images", 0, 0, 0, None, None, 0, 0.0, None)
    assert isinstance(module, DiffusionModule)
    return describe.subject(
        module,
        setting.title,
        how.sampler if how.sampler is not None else module.sampler,
        how.guidance if how.guidance is not None else module.guidance,
        {name: rows / tallies.num_images for name, rows in tallies.evaluations.items()},
        cost(module, conditions.of(range(1))),
        setting.facts,
        setting.sha256,
    )


def _protocol(setting: Setting, conditions: Conditions, plan: Plan) -> Protocol:
    """How it was measured."""
    dtype = "8-bit images"
    if isinstance(setting.subject, DiffusionModule):
        dtype = str(setting.subject.dtype).removeprefix("torch.")
    return protocol_of(
        setting,
        plan,
        image_size=list(shape_of(setting)),
        num_generated=setting.num_images,
        labels=conditions.description,
        dtype=dtype,
    )
