"""One pass over generated images: every extractor once, every metric from it, into a Result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from eval.result import Result, Subject
from zoo import entry

if TYPE_CHECKING:  # torch would cost `zoo evaluate --help` more than it may take
    from torch import Tensor

    from eval.cache import Cache
    from eval.yardstick import Yardstick


class Evaluation(NamedTuple):
    """A result and the images that it is about.

    Attributes:
        result: the record.
        images: (N, C, H, W) uint8, all that were measured; the first ones of an evaluation that
            was found in the cache.
    """

    result: Result
    images: Tensor


def main(argv: Sequence[str] | None = None) -> None:
    """The verb."""
    entry.run("evaluate", "evaluate", "eval.verbs:evaluate", argv)


def evaluate(
    subject: Any,
    data: Any,
    fid: Sequence[Any] = (),
    clip: Sequence[Any] = (),
    *,
    num_images: int = 1000,
    fid_counts: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 256,
    metrics: Sequence[Any] = (),
    bits_images: int = 0,
    bits_steps: int | None = None,
    sampler: Any = None,
    guidance: Any = None,
    name: str | None = None,
    facts: dict[str, Any] | None = None,
    sha256: str | None = None,
    yardstick: Yardstick | Callable[[], Yardstick] | None = None,
    cache: Cache | None = None,
) -> Evaluation:
    """Measures a model, or images that were made elsewhere, against a data set.

    FID is given at each of ``fid_counts``: the mean over as many disjoint sets of that size as
    there are images for, for FID falls as sets grow and compares at one count only. Image i
    depends on ``seed`` and i alone, and statistics are float64, so the batch size changes a number
    by no more than the networks' rounding.

    Args:
        subject: a ``DiffusionModule``, or ``StoredImages``.
        data: a data set after ``setup()``; its training split is the reference.
        fid: extractors that FID is given with.
        clip: extractors that CLIP score is given with; skipped where images have no captions.
        num_images: how many are generated.
        fid_counts: set sizes of FID; as many images as are held out, and all, when None.
        seed: of the generation.
        batch_size: images at a time.
        metrics: further metrics of ``eval.metric``, as classes or partials of them; each is
            measured with every extractor that suits it.
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

    Raises:
        ValueError: a count is larger than the number of images, or the model and the data differ
            in the images' shape.
    """
    from eval import images
    from eval.yardstick import measure

    stored = isinstance(subject, images.StoredImages)
    num_images = len(subject) if stored else num_images
    counts = _counts(fid_counts, num_images, len(data.test))
    shape = list(subject.images.shape[1:]) if stored else list(subject.image_shape)
    if shape != list(data.shape):
        raise ValueError(f"images are {tuple(shape)}, {data.name} has {tuple(data.shape)}")
    title = name or (subject.name if stored else type(subject).__name__)
    if not stored:
        sampler = sampler if sampler is not None else subject.sampler
        guidance = guidance if guidance is not None else subject.guidance
    setting = _Setting(
        subject, data, sampler, guidance, title, num_images, seed, batch_size, facts or {}, sha256
    )

    asked: dict[str, Any] = {}
    if not (stored or sha256):
        cache = None
    if cache is not None:
        from eval import depends

        asked = depends.evaluation(setting, fid, clip, metrics, counts, [bits_images, bits_steps])
        known = cache.find(asked)
        if known is not None:
            result, shown = known
            return Evaluation(replace(result, subject=replace(result.subject, name=title)), shown)

    if yardstick is None:
        yardstick = measure(data, fid, clip, counts, batch_size, metrics)
    elif callable(yardstick):
        yardstick = yardstick()
    if yardstick.counts != counts:
        raise ValueError(f"the yardstick is for fid_counts={yardstick.counts}, not {counts}")
    found = _measured(setting, yardstick, clip, cache, bits_images, bits_steps)
    if cache is not None:
        cache.keep(asked, found.result, found.images)
    return found


class _Setting(NamedTuple):
    """What is measured, of how many images, and what is known of it."""

    subject: Any
    data: Any
    sampler: Any
    guidance: Any
    title: str
    num_images: int
    seed: int
    batch_size: int
    facts: dict[str, Any]
    sha256: str | None


def _measured(
    setting: _Setting,
    yardstick: Yardstick,
    clip: Sequence[Any],
    cache: Cache | None,
    bits_images: int,
    bits_steps: int | None,
) -> Evaluation:
    """Generates, or takes what is stored, and measures it."""
    import torch

    from eval import describe, images, one_pass
    from eval.flops import cost

    subject, data, num_images, seed = (
        setting.subject,
        setting.data,
        setting.num_images,
        setting.seed,
    )
    stored, batches = isinstance(subject, images.StoredImages), None
    if stored:
        want = images.Wanted("as given", None, None)
        made = images.from_dataset(subject, setting.batch_size)
    else:
        want = images.wanted(subject, data, num_images, setting.guidance)
        made, batches = _generated(setting, want, cache)
    scored = clip if want.captions else ()
    measured = one_pass.one_pass(made, num_images, yardstick.fid, scored, yardstick)

    values = one_pass.values_of(measured, yardstick)
    if stored:
        device, description = torch.device("cpu"), _stored(setting.title)
    else:
        raw = None if want.condition is None else want.condition[:1]
        device = subject.device
        description = describe.subject(
            subject,
            setting.title,
            setting.sampler,
            setting.guidance,
            describe.evaluations(subject, setting.guidance, num_images),
            cost(subject, raw),
            setting.facts,
            setting.sha256,
        )
    protocol = one_pass.protocol_of(data, want, yardstick, num_images, seed, subject)
    absent = {}
    if bits_images:
        absent = _add_bits(
            values,
            protocol.metrics,
            subject,
            data,
            bits_images,
            bits_steps,
            seed,
            setting.batch_size,
        )
    result = Result(
        values,
        protocol,
        describe.budget(setting.facts),
        description,
        describe.environment(device),
        setting.facts,
        absent,
    )
    if batches is not None:
        batches.remove()
    return Evaluation(result, measured.images)


def _generated(setting: _Setting, want: Any, cache: Cache | None) -> tuple[Any, Any]:
    """The model's images, and where they are kept on the way, if they are."""
    from eval import depends, images
    from zoo.guidance import networks

    counted = dict([("", setting.subject), *networks(setting.guidance)])
    for network in counted.values():
        network.network_evaluations = 0
    make = functools.partial(
        images.generated,
        setting.subject,
        want,
        setting.num_images,
        setting.seed,
        setting.batch_size,
        setting.sampler,
        setting.guidance,
    )
    if cache is None:
        return make(), None
    batches = cache.batches({**depends.generation(setting), "labels": want.protocol})
    resumed = batches.resumed(lambda first: make(first=first), want, setting.num_images, counted)
    return resumed, batches


def _counts(asked: Sequence[int] | None, num_images: int, num_held_out: int) -> list[int]:
    counts = list(asked) if asked else [min(num_images, num_held_out), num_images]
    if max(counts) > num_images:
        raise ValueError(
            f"fid_counts={counts} asks for sets of more images than the {num_images} there are: "
            f"set num_images={max(counts)} or smaller counts"
        )
    return sorted(set(counts))


def _add_bits(
    values: dict[str, Any],
    metrics: dict[str, str],
    subject: Any,
    data: Any,
    num_images: int,
    num_steps: int | None,
    seed: int,
    batch_size: int,
) -> dict[str, str]:
    """Adds bits per dimension to values and protocol; says why where the subject has none."""
    from eval.images import StoredImages
    from eval.metric import bits_per_dim as metric

    metrics[metric.NAME] = (
        f"{metric.BitsPerDim.definition}; {num_images} held-out images, "
        f"{metric.steps_in_words(num_steps)}, pixel models"
    )
    if isinstance(subject, StoredImages):
        return {metric.NAME: "images have no model whose likelihood could be asked for"}
    found = metric.bits_per_dim(subject, data, num_images, num_steps, seed, batch_size)
    if found is None:
        return {metric.NAME: metric.NOT_PIXELS}
    values[metric.NAME] = found
    return {}


def _stored(name: str) -> Subject:
    """Images of unknown making."""
    return Subject(name, "images", 0, 0, 0, "–", "–", 0, 0.0, "–")


if __name__ == "__main__":
    main()
