"""Making the images of one evaluation, or reading them, and measuring them on the way."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eval.measure import cache_key, one_pass
from eval.measure.cache import Cache
from eval.measure.reference import Yardstick, measure
from eval.measure.values import values_of
from eval.metric import bits_per_dim as bits
from eval.result import describe
from eval.result.cost import cost
from eval.result.record import Result, Subject
from eval.source import batch
from eval.source.export import kept
from eval.source.stored import StoredImages
from zoo.guidance import networks


class Evaluation(NamedTuple):
    """A result and the images that it is about.

    Attributes:
        result: the record.
        images: (N, C, H, W) uint8, the first ones that were measured: at most a thousand, fewer
            where the evaluation was found in the cache.
        pairs: (K, 2, C, H, W) uint8, the closest pairs of image and reference image, closest first;
            none where there are no reference images.
    """

    result: Result
    images: Tensor
    pairs: Tensor


class Setting(NamedTuple):
    """What is measured, of how many images, and what is known of it."""

    subject: Any
    data: Any
    sampler: Any
    guidance: Any
    title: str
    num_images: int
    seed: int
    labels: str
    batch_size: int
    nearest_images: int
    bits: tuple[int, int | None]
    facts: dict[str, Any]
    sha256: str | None
    protocol: str
    parallel: Callable[..., Iterator[batch.Images]] | None


def measured(
    setting: Setting,
    yardstick: Yardstick,
    clip: Sequence[Any],
    cache: Cache | None,
    keep: str | Path | None,
) -> tuple[Result, Tensor, Tensor]:
    """The result, the first images, and the closest pairs."""
    subject, batches = setting.subject, None
    stored = isinstance(subject, StoredImages)
    if stored:
        told = "as given" if subject.captions is None else "as given, with captions"
        order = batch.order_of(subject)
        told += ", mixed" if bool((order.diff() < 0).any()) else ""
        want = batch.Wanted(told, None, subject.captions)
        made = batch.from_dataset(subject, setting.batch_size, order)
    else:
        want = batch.wanted(
            subject,
            setting.data,
            setting.num_images,
            setting.guidance,
            setting.labels,
            setting.seed,
        )
        made, batches = _generated(setting, want, cache)
    if keep is not None:
        made = kept(made, Path(keep), setting.num_images)
    scored = clip if want.captions else ()
    found = one_pass.one_pass(made, setting.num_images, scored, yardstick, setting.nearest_images)
    # before bits per dimension, whose network evaluations are not the generation's
    described = _stored(setting.title) if stored else _described(setting, want)
    values, absent, closest = values_of(found, yardstick, setting.nearest_images)
    protocol = one_pass.protocol_of(
        setting.data,
        want,
        yardstick,
        setting.num_images,
        setting.seed,
        subject,
        setting.protocol,
    )
    if setting.bits[0]:
        absent |= _add_bits(values, protocol.metrics, setting)
    result = Result(
        values,
        protocol,
        describe.budget(setting.facts),
        described,
        describe.environment(torch.device("cpu") if stored else subject.device),
        setting.facts,
        absent,
    )
    if batches is not None:
        batches.remove()
    return result, found.images, closest


def _described(setting: Setting, want: batch.Wanted) -> Subject:
    subject = setting.subject
    return describe.subject(
        subject,
        setting.title,
        setting.sampler,
        setting.guidance,
        describe.evaluations(subject, setting.guidance, setting.num_images),
        cost(subject, None if want.condition is None else want.condition[:1]),
        setting.facts,
        setting.sha256,
    )


def _generated(setting: Setting, want: batch.Wanted, cache: Cache | None) -> tuple[Any, Any]:
    """The model's images, and where they are kept on the way, if they are."""
    counted = dict([("", setting.subject), *networks(setting.guidance)])
    for network in counted.values():
        network.network_evaluations = 0
    settings = (
        want,
        setting.num_images,
        setting.seed,
        setting.batch_size,
        setting.sampler,
        setting.guidance,
    )
    make: Any = functools.partial(batch.generated, setting.subject, *settings)
    if setting.parallel is not None:
        make = functools.partial(setting.parallel, *settings, counted=counted)
    if cache is None:
        return make(), None
    batches = cache.batches({**cache_key.generation(setting), "labels": want.protocol})
    resumed = batches.resumed(lambda first: make(first=first), want, setting.num_images, counted)
    return resumed, batches


def _add_bits(values: dict[str, Any], metrics: dict[str, str], setting: Setting) -> dict[str, str]:
    """Adds bits per dimension to values and protocol; says why where the subject has none."""
    num_images, num_steps = setting.bits
    metrics[bits.NAME] = (
        f"{bits.BitsPerDim.definition}; {num_images} held-out images, "
        f"{bits.steps_in_words(num_steps)}, pixel models"
    )
    if isinstance(setting.subject, StoredImages):
        return {bits.NAME: "images have no model whose likelihood could be asked for"}
    if setting.data.test is None:
        return {bits.NAME: "there are no held-out images: say held_out=..."}
    found = bits.bits_per_dim(
        setting.subject, setting.data, num_images, num_steps, setting.seed, setting.batch_size
    )
    if found is None:
        return {bits.NAME: bits.NOT_PIXELS}
    values[bits.NAME] = found
    return {}


def _stored(name: str) -> Subject:
    """Images of unknown making."""
    return Subject(
        name,
        model="images",
        parameters=0,
        flops_per_evaluation=0,
        flops_decode=0,
        sampler=None,
        grid=None,
        num_steps=0,
        network_evaluations=0.0,
        guidance=None,
    )


def evaluate(
    subject: Any,
    data: Any,
    fid: Sequence[Any] = (),
    clip: Sequence[Any] = (),
    *,
    num_images: int = 1000,
    fid_counts: Sequence[int] | None = None,
    seed: int = 0,
    labels: str = "balanced",
    batch_size: int = 256,
    metrics: Sequence[Any] = (),
    nearest_images: int = 1000,
    bits_images: int = 0,
    bits_steps: int | None = None,
    sampler: Any = None,
    guidance: Any = None,
    name: str | None = None,
    facts: dict[str, Any] | None = None,
    sha256: str | None = None,
    yardstick: Yardstick | Callable[[], Yardstick] | None = None,
    cache: Cache | None = None,
    keep: str | Path | None = None,
    protocol: str = "",
    parallel: Callable[..., Any] | None = None,
) -> Evaluation:
    """Measures a model, or images that were made elsewhere, against a data set.

    FID is given at each of ``fid_counts``: the mean over as many disjoint sets of that size as
    there are images for, for FID falls as sets grow and compares at one count only. Image i
    depends on ``seed`` and i alone, and statistics are float64, so the batch size changes a number
    by no more than the networks' rounding.

    Args:
        subject: a ``DiffusionModule``, or ``StoredImages``.
        data: a data set after ``setup()``, whose training split is the reference, or a
            ``Compared``.
        fid: extractors that FID is given with.
        clip: extractors that CLIP score is given with; skipped where images have no captions.
        num_images: how many are generated.
        fid_counts: set sizes of FID; as many images as are held out, and all, when None.
        seed: of the generation.
        labels: of a class-conditional model: see ``eval.source.batch.wanted``.
        batch_size: images at a time.
        metrics: further metrics of ``eval.metric``, as classes or partials of them; each is
            measured with every extractor that suits it.
        nearest_images: how many images the nearest reference image is searched for; 0 for none.
        bits_images: how many held-out images bits per dimension are measured on; 0 for none.
        bits_steps: of their chain; the schedule's own T when None.
        sampler: in place of the model's own.
        guidance: in place of the model's own.
        name: the row's name; the class when None.
        facts: the checkpoint's provenance.
        sha256: of the checkpoint file.
        yardstick: of ``measure`` for the same data, extractors and counts, or a function that
            gives it; measured when None.
        cache: of evaluations made before, for a model whose ``sha256`` is known or stored images.
        keep: a folder or an ``.npz`` that the images are written to; they are then made in any
            case.
        protocol: the versioned protocol's name, for the record.
        parallel: generates in several processes in the place of this one: a partial of
            ``eval.source.parallel.generated_in_parallel`` that knows file and devices.

    Raises:
        ValueError: a count is larger than the number of images, or the model and the data differ
            in the images' shape.
    """
    if data.train is not None and data.test is not None:
        if data.train.fingerprint == data.test.fingerprint:
            raise ValueError(f"{data.name}: reference and held-out images are the same")
    stored = isinstance(subject, StoredImages)
    num_images = len(subject) if stored else num_images
    held_out = None if data.test is None else len(data.test)
    counts = _counts(fid_counts, num_images, held_out)
    shape = tuple(subject.shape if stored else subject.image_shape)
    if data.shape is not None and shape != tuple(data.shape):
        raise ValueError(f"images are {shape}, {data.name} has {tuple(data.shape)}")
    if not stored:
        sampler = sampler if sampler is not None else subject.sampler
        guidance = guidance if guidance is not None else subject.guidance
    setting = Setting(
        subject=subject,
        data=data,
        sampler=sampler,
        guidance=guidance,
        title=name or (subject.name if stored else type(subject).__name__),
        num_images=num_images,
        seed=seed,
        labels=labels,
        batch_size=batch_size,
        nearest_images=nearest_images,
        bits=(bits_images, bits_steps),
        facts=facts or {},
        sha256=sha256,
        protocol=protocol,
        parallel=parallel,
    )
    return _found(setting, fid, clip, metrics, counts, yardstick, cache, keep)


def _found(
    setting: Setting,
    fid: Sequence[Any],
    clip: Sequence[Any],
    metrics: Sequence[Any],
    counts: list[int],
    yardstick: Yardstick | Callable[[], Yardstick] | None,
    cache: Cache | None,
    keep: str | Path | None,
) -> Evaluation:
    """The evaluation made before, or the one made now."""
    subject = setting.subject
    if not (isinstance(subject, StoredImages) or setting.sha256):
        cache = None
    asked: dict[str, Any] = {}
    if cache is not None:
        asked = cache_key.evaluation(setting, fid, clip, metrics, counts)
        known = None if keep is not None else cache.find(asked)
        if known is not None:
            result, shown, pairs = known
            renamed = replace(
                result,
                subject=replace(result.subject, name=setting.title),
                protocol=replace(result.protocol, name=setting.protocol),
            )
            return Evaluation(renamed, shown, pairs)
    if yardstick is None:
        yardstick = measure(
            setting.data,
            fid,
            clip,
            counts,
            setting.batch_size,
            metrics,
            cache,
            setting.nearest_images,
            subject.shape if isinstance(subject, StoredImages) else subject.image_shape,
        )
    elif callable(yardstick):
        yardstick = yardstick()
    if yardstick.counts != counts:
        raise ValueError(f"the yardstick is for fid_counts={yardstick.counts}, not {counts}")
    found = Evaluation(*measured(setting, yardstick, clip, cache, keep))
    if cache is not None:
        cache.keep(asked, *found)
    return found


def _counts(asked: Sequence[int] | None, num_images: int, held_out: int | None) -> list[int]:
    counts = list(asked) if asked else [min(num_images, held_out or num_images), num_images]
    if max(counts) > num_images:
        raise ValueError(
            f"fid_counts={counts} asks for sets of more images than the {num_images} there are: "
            f"set num_images={max(counts)} or smaller counts"
        )
    return sorted(set(counts))
