"""``zoo evaluate`` of a composed config, and the parts that other verbs share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from torch import nn

from eval.extractor.extractor import Extractor
from eval.measure import Evaluation, Reference, Setting, reconstruct
from eval.measure import evaluate as measure
from eval.report.picture import png, tile
from eval.source import ReferenceSet, open_images
from eval.source.parallel import Parallel, devices
from eval.study import loading
from eval.study import protocol as protocols
from eval.study.loading import plain_values
from eval.table.formatting import machine, measured, notes, title_of
from zoo import checkpoint
from zoo.checkpoint.published import checkpoint_file
from zoo.command.parts import exchanged
from zoo.data import ImageData
from zoo.data.image_set import ImageSet
from zoo.module import DiffusionModule
from zoo.system.device import accelerator
from zoo.system.files import write_atomically
from zoo.system.text import one_line

COLUMNS, ROWS = 10, 6
"""A grid shows the first 60 images: ten classes in a column each, where there are ten."""


class Shared(NamedTuple):
    """The objects that several evaluations share.

    Attributes:
        data: the reference.
        extractors: the networks.
        reference: returns the real images' features and numbers; measured when None.
    """

    data: ReferenceSet
    extractors: list[Extractor]
    reference: Callable[[], Reference] | None = None


def evaluate(cfg: DictConfig) -> Path:
    """``zoo evaluate``: writes result.json and samples.png into ``run_dir``."""
    return save(evaluation(cfg), Path(cfg.run_dir))


def evaluation(cfg: DictConfig, shared: Shared | None = None) -> Evaluation:
    """One evaluation of a composed configs/evaluate.yaml, perhaps with shared objects.

    Raises:
        ValueError: checkpoint, images, data and extractors do not fit together.
    """
    if (cfg.checkpoint is None) == (cfg.images is None):
        raise ValueError(
            "give checkpoint=FILE (or the name of one that ships, such as digits/ddpm), or "
            "images=FOLDER"
        )
    device = accelerator(cfg.device)
    protocol = protocols.flattened(cfg)
    if shared is None:
        shared = Shared(loading.reference_set(cfg, protocol), loading.extractors(cfg, device))
    setting = _setting(cfg, protocol, shared, device)
    cache = loading.cache(cfg)
    if isinstance(setting.subject, DiffusionModule) or cfg.images is not None:
        return measure(setting, shared.reference, cache, cfg.keep)
    if not hasattr(setting.subject, "reconstruct"):
        raise ValueError(
            f"{cfg.checkpoint} holds a {type(setting.subject).__name__}, which neither generates "
            "nor reconstructs images"
        )
    if cfg.keep is not None:
        raise ValueError("keep=... writes generated images; an autoencoder generates none")
    return reconstruct(replace(setting, protocol=""), cfg.reconstruct, cache)


def _setting(cfg: DictConfig, protocol: dict[str, Any], shared: Shared, device: str) -> Setting:
    """The setting of stored images, or of the model in a file."""
    subject: nn.Module | ImageSet
    parts: dict[str, Any] = {}
    if cfg.images is not None:
        subject, path = open_images(cfg.images, shared.data.shape), None
        protocol["num_images"] = len(subject)
        name = Path(cfg.images).stem
    else:
        path, trust, dtype = checkpoint_file(cfg.checkpoint), list(cfg.trust), protocol["dtype"]
        subject = loading.model(path, device, trust, dtype)
        name = path.parent.name if path.stem == "model" else path.stem
    protocols.check(protocol, shared.data)
    if path is not None and isinstance(subject, DiffusionModule):
        parts = chosen_parts(cfg, subject)
        if cfg.devices != 1:
            parts["parallel"] = Parallel(path, devices(cfg.devices, device), trust, dtype)
    setting = Setting(
        subject,
        data=shared.data,
        metrics=loading.metrics(cfg),
        extractors=shared.extractors,
        generation=protocols.generation(protocol, **parts),
        fid_counts=protocol["fid_counts"],
        name=cfg.name or name,
        protocol=protocols.title(cfg, protocol),
    )
    return setting if path is None else of_checkpoint(setting, path)


def of_checkpoint(setting: Setting, path: Path) -> Setting:
    """The setting with the provenance and the hash of its model's file."""
    facts, sha256 = checkpoint.provenance(path), checkpoint.sha256(path)
    return replace(setting, facts=facts, sha256=sha256)


def chosen_parts(cfg: DictConfig, module: DiffusionModule) -> dict[str, Any]:
    """Sampler and guidance: the model's own, or those of the config."""
    choices = plain_values(cfg)
    return {
        group: exchanged(getattr(module, group), choices.get(group), group, list(cfg.trust))
        for group in ("sampler", "guidance")
    }


def save(evaluation: Evaluation, folder: Path) -> Path:
    """Writes result.json and samples.png, and prints the numbers."""
    path = evaluation.result.save(folder / "result.json")
    write_atomically(folder / "samples.png", sample_grid(evaluation))
    print(summary(evaluation))
    print(f"saved {path}")
    return path


def sample_grid(evaluation: Evaluation) -> bytes:
    """The first images, as PNG."""
    return png(tile(evaluation.images[: ROWS * COLUMNS], COLUMNS))


def real_grid(data: ImageData) -> bytes:
    """Held-out images in the places of the generated ones' classes, as PNG."""
    number = ROWS * COLUMNS
    labels, classes = data.test.labels, data.num_classes
    order = list(range(min(number, len(data.test))))
    if labels is not None and classes:
        of_class = [torch.nonzero(labels == c).flatten().tolist() for c in range(classes)]
        places = [of_class[i % classes][i // classes : i // classes + 1] for i in range(number)]
        order = [index for place in places for index in place]
    return png(tile(data.test.gather(torch.tensor(order)), COLUMNS))


def summary(evaluation: Evaluation) -> str:
    """The numbers in lines for a terminal."""
    result = evaluation.result
    lines = [f"{result.subject.name}:"]
    for name, value in result.values.items():
        beside = notes(value)
        if value.column == "cost":
            beside.append(f"on {machine(result.environment.machine)}")
        brackets = f" ({', '.join(beside)})" if beside else ""
        lines.append(f"  {title_of(name, value)}: {measured(value)}{brackets}")
    lines += [f"  {name}: {reason}" for name, reason in result.absent.items()]
    return "\n".join(map(_of_terminal, lines))


def _of_terminal(line: str) -> str:
    """The line with its indentation, and nothing that moves a terminal's cursor."""
    return f"{'  ' * line.startswith('  ')}{one_line(line)}"
