"""What an evaluation depends on: the facts that a kept one is found by."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from eval.measure.plan import class_of, settings_of
from eval.result.describe import all_settings, config_hash
from eval.source.stored import StoredImages
from zoo.part import config_of

_OURS = ("zoo", "eval", "torch", "builtins")


def evaluation(
    setting: Any,
    fid: Sequence[Any],
    clip: Sequence[Any],
    metrics: Sequence[Any],
    counts: Sequence[int],
) -> dict[str, Any]:
    """Everything that could move a number of this evaluation; the batch size could not."""
    extractors = {one.name: one for one in (*fid, *clip)}
    kinds = [*map(type, extractors.values()), *map(class_of, metrics)]
    return {
        **generation(setting),
        "num_images": setting.num_images,
        "fid_counts": list(counts),
        "extractors": {name: extractor(one) for name, one in extractors.items()},
        "clip": [one.name for one in clip],
        "metrics": [settings_of(metric) for metric in metrics],
        "labels": setting.labels,
        "nearest": setting.nearest_images,
        "bits": list(setting.bits),
        "own_measures": own_source({kind.__module__ for kind in kinds}),
    }


def yardstick(
    data: Any,
    fid: Sequence[Any],
    clip: Sequence[Any],
    metrics: Sequence[Any],
    counts: Sequence[int],
    nearest_images: int,
) -> dict[str, Any]:
    """Everything that could move a number of the held-out images."""
    return {
        "data": data.fingerprint,
        "flip": data.flip,
        "fid": [extractor(one) for one in fid],
        "clip": [extractor(one) for one in clip],
        "metrics": [settings_of(metric) for metric in metrics],
        "fid_counts": list(counts),
        "nearest": nearest_images,
        "own_measures": own_source({kind.__module__ for kind in map(class_of, metrics)}),
    }


def generation(setting: Any) -> dict[str, Any]:
    """Everything that could move a pixel; the number of images and the batch size could not."""
    found = {"data": setting.data.fingerprint, "flip": setting.data.flip, "seed": setting.seed}
    subject = setting.subject
    if isinstance(subject, StoredImages):
        return {**found, "images": subject.fingerprint}
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


def own_source(modules: set[str]) -> dict[str, str]:
    """sha256 of the source behind modules that are not the zoo's: a user's own parts.

    All files of a package count; what a single file imports does not.
    """
    found = {}
    for package in sorted({name.partition(".")[0] for name in modules} - set(_OURS)):
        module = sys.modules.get(package)
        file = getattr(module, "__file__", None)
        folders = [Path(one) for one in getattr(module, "__path__", [])]  # a package's
        files = sorted(one for folder in folders for one in folder.rglob("*.py"))
        if not files and file is None:
            continue
        files = files or [Path(str(file))]
        text = b"".join(one.read_bytes() for one in files)
        found[package] = hashlib.sha256(text).hexdigest()
    return found


def extractor(one: Any) -> list[str]:
    """Everything that its features depend on; the resize where it is fixed, for asking might load.

    A network's device and the libraries' versions count: other kernels round otherwise.
    """
    resize = vars(one).get("resize", getattr(type(one), "resize", ""))
    told = resize if isinstance(resize, str) else "the model's own"
    dtype = str(getattr(one, "dtype", "float32"))
    device = torch.device(getattr(one, "device", "cpu")).type
    own = json.dumps(own_source({type(one).__module__}))
    return [one.name, type(one).__name__, one.sha256, told, dtype, device, own, _versions()]


@functools.cache
def _versions() -> str:
    """Of what features are computed with."""
    found = []
    for library in ("torch", "pillow", "timm", "open_clip_torch", "torch-fidelity"):
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            found.append(f"{library} absent")
    return ", ".join(found)


def _modules(config: Any) -> Iterator[str]:
    """The modules that a config's targets lie in."""
    if isinstance(config, dict):
        if isinstance(target := config.get("_target_"), str):
            yield target.rpartition(".")[0]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _modules(value)
