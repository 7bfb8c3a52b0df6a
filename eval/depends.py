"""What an evaluation depends on: the facts that a kept one is found by."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from eval.describe import all_settings, config_hash
from eval.images import StoredImages
from eval.lineup import class_of, settings_of
from zoo.part import config_of

_OURS = ("zoo", "eval", "torch", "builtins")


def evaluation(
    setting: Any,
    fid: Sequence[Any],
    clip: Sequence[Any],
    metrics: Sequence[Any],
    counts: Sequence[int],
    bits: Sequence[int | None],
) -> dict[str, Any]:
    """Everything that could move a number of this evaluation; the batch size could not."""
    extractors = {extractor.name: extractor for extractor in (*fid, *clip)}
    kinds = [*map(type, extractors.values()), *map(class_of, metrics)]
    return {
        **generation(setting),
        "num_images": setting.num_images,
        "fid_counts": list(counts),
        "extractors": {name: _extractor(one) for name, one in extractors.items()},
        "clip": [extractor.name for extractor in clip],
        "metrics": [settings_of(metric) for metric in metrics],
        "bits": list(bits),
        "own_measures": own_source({kind.__module__ for kind in kinds}),
    }


def generation(setting: Any) -> dict[str, Any]:
    """Everything that could move a pixel; the number of images and the batch size could not."""
    found = {"data": setting.data.fingerprint, "flip": setting.data.flip, "seed": setting.seed}
    subject = setting.subject
    if isinstance(subject, StoredImages):
        labels = None if subject.labels is None else content(subject.labels)
        return {**found, "images": content(subject.images), "labels": labels}
    configs = [config_of(subject), config_of(setting.sampler), all_settings(setting.guidance)]
    return {
        **found,
        "weights": setting.sha256,
        "config": config_hash(subject),
        "sampler": configs[1],
        "guidance": configs[2],
        "dtype": str(subject.dtype),
        "device": subject.device.type,
        "own_parts": own_source({name for config in configs for name in _modules(config)}),
    }


def content(values: Tensor) -> str:
    """sha256 of images or labels: one pixel changes it."""
    found = hashlib.sha256(str((values.dtype, tuple(values.shape))).encode())
    for part in values.split(1024):
        found.update(part.contiguous().numpy().tobytes())
    return found.hexdigest()


def own_source(modules: set[str]) -> dict[str, str]:
    """sha256 of the source behind modules that are not the zoo's: a user's own parts.

    All files of a package count; what a single file imports does not.
    """
    found = {}
    for package in sorted({name.partition(".")[0] for name in modules} - set(_OURS)):
        file = getattr(sys.modules.get(package), "__file__", None)
        if file is None:
            continue
        path = Path(file)
        files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
        text = b"".join(one.read_bytes() for one in files)
        found[package] = hashlib.sha256(text).hexdigest()
    return found


def _extractor(extractor: Any) -> list[str]:
    """Class, weights, and the resize where it is a fixed one: asking might load a network."""
    resize = vars(extractor).get("resize", getattr(type(extractor), "resize", ""))
    told = resize if isinstance(resize, str) else "the model's own"
    return [type(extractor).__name__, extractor.sha256, told]


def _modules(config: Any) -> Iterator[str]:
    """The modules that a config's targets lie in."""
    if isinstance(config, dict):
        if isinstance(target := config.get("_target_"), str):
            yield target.rpartition(".")[0]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _modules(value)
