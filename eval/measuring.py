"""Making the images of one evaluation, or reading them, and measuring them on the way."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eval import depends, describe, images, one_pass
from eval.cache import Cache
from eval.flops import cost
from eval.kept import kept
from eval.metric import bits_per_dim as bits
from eval.result import Result, Subject
from eval.stored import StoredImages
from eval.values import values_of
from eval.yardstick import Yardstick
from zoo.guidance import networks


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
    parallel: Callable[..., Iterator[images.Images]] | None


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
        order = images.order_of(subject)
        told += ", mixed" if bool((order.diff() < 0).any()) else ""
        want = images.Wanted(told, None, subject.captions)
        made = images.from_dataset(subject, setting.batch_size, order)
    else:
        want = images.wanted(
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


def _described(setting: Setting, want: images.Wanted) -> Subject:
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


def _generated(setting: Setting, want: images.Wanted, cache: Cache | None) -> tuple[Any, Any]:
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
    make: Any = functools.partial(images.generated, setting.subject, *settings)
    if setting.parallel is not None:
        make = functools.partial(setting.parallel, *settings, counted=counted)
    if cache is None:
        return make(), None
    batches = cache.batches({**depends.generation(setting), "labels": want.protocol})
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
    return Subject(name, "images", 0, 0, 0, "–", "–", 0, 0.0, "–")
