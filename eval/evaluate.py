"""One pass over generated images: every extractor once, every metric from it, into a Result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from eval.result import Result
from zoo import entry

if TYPE_CHECKING:  # torch would cost `zoo evaluate --help` more than it may take
    from torch import Tensor

    from eval.cache import Cache
    from eval.yardstick import Yardstick


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
        labels: of a class-conditional model: see ``eval.images.wanted``.
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
            ``eval.parallel.generated_in_parallel`` that knows file and devices.

    Raises:
        ValueError: a count is larger than the number of images, or the model and the data differ
            in the images' shape.
    """
    from eval import measuring
    from eval.stored import StoredImages

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
    setting = measuring.Setting(
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
    setting: Any,
    fid: Sequence[Any],
    clip: Sequence[Any],
    metrics: Sequence[Any],
    counts: list[int],
    yardstick: Yardstick | Callable[[], Yardstick] | None,
    cache: Cache | None,
    keep: str | Path | None,
) -> Evaluation:
    """The evaluation made before, or the one made now."""
    from eval import depends, measuring
    from eval.stored import StoredImages
    from eval.yardstick import measure

    subject = setting.subject
    if not (isinstance(subject, StoredImages) or setting.sha256):
        cache = None
    asked: dict[str, Any] = {}
    if cache is not None:
        asked = depends.evaluation(setting, fid, clip, metrics, counts)
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
    found = Evaluation(*measuring.measured(setting, yardstick, clip, cache, keep))
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


if __name__ == "__main__":
    main()
