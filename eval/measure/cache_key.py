"""Everything that an evaluation depends on: the facts that make its key in the cache."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from eval.extractor.extractor import Extractor
from eval.measure.plan import Plan
from eval.measure.setting import Setting
from eval.result.describe import all_settings, config_hash
from eval.source.reference_set import ReferenceSet
from zoo.data.image_set import ImageSet
from zoo.module import DiffusionModule
from zoo.part import config_of
from zoo.system.versions import version_of

_OURS = ("zoo", "eval", "torch", "builtins")


def evaluation(setting: Setting, plan: Plan) -> dict[str, Any]:
    """Everything that could move a number of this evaluation; the batch size could not."""
    return {
        **generation(setting),
        **_measurements(setting.reference_set, plan),
        "num_images": setting.num_images,
        "labels": setting.generation.labels,
    }


def baselines(data: ReferenceSet, plan: Plan) -> dict[str, Any]:
    """Everything that could move a number of the held-out images."""
    return {"data": data.fingerprint, "flip": data.flip, **_measurements(data, plan)}


def _measurements(data: ReferenceSet, plan: Plan) -> dict[str, Any]:
    """The metrics, their counts, and the extractors."""
    kinds = [*map(type, plan.extractors), *(m.kind for m in plan.measurements)]
    return {
        "plan": [[m.name, m.settings, m.num_images, m.count] for m in plan.measurements],
        "absent": plan.absent,
        "extractors": {e.name: extractor(e) for e in plan.extractors},
        "own_measures": own_source({kind.__module__ for kind in kinds}),
    }


def generation(setting: Setting) -> dict[str, Any]:
    """Everything that could move a pixel; the number of images and the batch size could not."""
    data, subject = setting.reference_set, setting.subject
    facts = {"data": data.fingerprint, "flip": data.flip, "seed": setting.generation.seed}
    if isinstance(subject, ImageSet):
        return {**facts, "images": subject.fingerprint}
    assert isinstance(subject, DiffusionModule)
    sampler = setting.generation.sampler or subject.sampler
    guidance = setting.generation.guidance or subject.guidance
    configs = [config_of(subject), config_of(sampler), all_settings(guidance)]
    return {
        **facts,
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

    All files of a package count, but not what a single file imports.
    """
    hashes = {}
    for package in sorted({name.partition(".")[0] for name in modules} - set(_OURS)):
        module = sys.modules.get(package)
        file = getattr(module, "__file__", None)
        folders = [Path(folder) for folder in getattr(module, "__path__", [])]  # a package's
        files = sorted(source for folder in folders for source in folder.rglob("*.py"))
        if not files and file is None:
            continue
        text = b"".join(source.read_bytes() for source in files or [Path(str(file))])
        hashes[package] = hashlib.sha256(text).hexdigest()
    return hashes


def extractor(network: Extractor) -> list[str]:
    """Everything that its features depend on; a resize that would load the network is left out.

    A network's device and the libraries' versions count, because other kernels round differently.
    """
    resize = vars(network).get("resize", getattr(type(network), "resize", ""))
    text = resize if isinstance(resize, str) else "the model's own"
    dtype = str(getattr(network, "dtype", "float32"))
    device = torch.device(getattr(network, "device", "cpu")).type
    own = json.dumps(own_source({type(network).__module__}))
    kind = type(network).__name__
    return [network.name, kind, network.sha256, text, dtype, device, own, _versions()]


@functools.cache
def _versions() -> str:
    """The versions of the libraries that compute features."""
    libraries = ("torch", "pillow", "timm", "open_clip_torch", "torch-fidelity")
    return ", ".join(f"{library} {version_of(library)}" for library in libraries)


def _modules(config: object) -> Iterator[str]:
    """The modules of a config's targets."""
    if isinstance(config, dict):
        if isinstance(target := config.get("_target_"), str):
            yield target.rpartition(".")[0]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _modules(value)
