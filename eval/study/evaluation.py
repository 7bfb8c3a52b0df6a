"""``zoo evaluate`` of a composed config, and the parts that other verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from torch import nn

from eval.extractor.extractor import Extractor
from eval.measure import Evaluation, Reference, Setting, measure_reference, reconstruct
from eval.measure import evaluate as measure
from eval.measure.plan import plan
from eval.report.picture import png, tile
from eval.report.text import rows_markdown, summary, to_csv, to_markdown
from eval.source import ReferenceSet, open_images
from eval.source.parallel import Parallel, devices
from eval.study import loading, rows, saved
from eval.study import protocol as protocols
from eval.study.loading import is_pattern, plain_values
from eval.table import compare as tabulate
from zoo import checkpoint
from zoo.averages.file import average_file
from zoo.checkpoint.name import folder_name, run_name
from zoo.command.overrides import command_line
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
    """The objects that several evaluations share; see ``shared_parts``.

    Attributes:
        data: the reference.
        extractors: the networks.
        reference: returns the real images' features and numbers; measured when None.
    """

    data: ReferenceSet
    extractors: list[Extractor]
    reference: Callable[[], Reference] | None = None


def evaluate(cfg: DictConfig) -> Path:
    """``zoo evaluate``: writes result.json and samples.png into ``run_dir``.

    Of several models each has a folder there, and beside them is a table.
    """
    several = cfg.checkpoint is not None and not isinstance(cfg.checkpoint, str)
    if several or is_pattern(cfg.checkpoint or ""):
        return _evaluate_each(cfg)
    return save(evaluation(cfg), Path(cfg.run_dir))


def evaluation(cfg: DictConfig, shared: Shared | None = None) -> Evaluation:
    """One evaluation of a composed configs/evaluate.yaml, perhaps with shared objects.

    Raises:
        ValueError: checkpoint, images, data and extractors do not fit together.
    """
    loading.check_subject(cfg)
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


def shared_parts(cfg: DictConfig) -> Shared:
    """Data, extractors and the reference of a config, which is measured at its first use.

    An evaluation from the cache needs none.
    """
    data = loading.reference_set(cfg, protocols.flattened(cfg))
    extractors = loading.extractors(cfg, accelerator(cfg.device))

    def reference() -> Reference:
        metrics = loading.metrics(cfg)
        measurements = plan(metrics, extractors, data, cfg.num_images, cfg.fid_counts)
        return measure_reference(data, measurements, cfg.batch_size, loading.cache(cfg))

    return Shared(data, extractors, functools.cache(reference))


def _evaluate_each(cfg: DictConfig) -> Path:
    """An evaluation of every model that ``checkpoint`` names, and their table."""
    for key in ("images", "name", "keep"):
        if cfg[key] is not None:
            raise ValueError(f"{key}={cfg[key]}: checkpoint={cfg.checkpoint} names several models")
    models = saved.each(rows.entries(cfg.checkpoint, "checkpoint"), "checkpoint")
    each = []
    for name, model in models.items():
        one = cfg.copy()
        one.update(checkpoint=str(model.path), name=name)
        loading.check_subject(one)
        each.append(one)
    shared, results, folder = shared_parts(cfg), [], Path(cfg.run_dir)
    for one in each:
        one_evaluation = evaluation(one, shared)
        save(one_evaluation, folder / folder_name(one.name))
        results.append(one_evaluation.result)
    table = tabulate(results, force=True)
    print(
        "\n".join(
            [
                "",
                *rows_markdown(table),
                *map(one_line, (*map(str, table.mismatches), *table.warnings)),
            ]
        )
    )
    files = ",".join(one.checkpoint for one in each)
    command = command_line("evaluate", [f"checkpoint=[{files}]"])
    title = f"{len(results)} models on {shared.data.name}"
    write_atomically(folder / "results.md", to_markdown(table, title, command))
    return write_atomically(folder / "results.csv", to_csv(table))


def _setting(cfg: DictConfig, protocol: dict[str, Any], shared: Shared, device: str) -> Setting:
    """The setting of stored images, or of the model in a file."""
    subject: nn.Module | ImageSet
    parts: dict[str, Any] = {}
    if cfg.images is not None:
        _check_unused(cfg, "stored images")
        if cfg.keep is not None:
            raise ValueError("keep=... writes generated images; stored ones are there already")
        subject, path = open_images(cfg.images, shared.data.shape), None
        _check_stored(cfg, subject, shared.data)
        protocol["num_images"] = len(subject)
        name = run_name(cfg.images)
    else:
        path, trust = average_file(cfg.checkpoint, cfg.ema), list(cfg.trust)
        dtype, speed = protocol["dtype"], (cfg.channels_last, cfg.compile)
        subject = loading.model(path, device, trust, dtype, *speed)
        name = run_name(path)
    protocols.check(protocol, shared.data)
    if path is not None and not isinstance(subject, DiffusionModule):
        _check_unused(cfg, f"images of {type(subject).__name__}")
    if path is not None and isinstance(subject, DiffusionModule):
        parts = chosen_parts(cfg, subject)
        if cfg.devices != 1:
            parts["parallel"] = Parallel(path, devices(cfg.devices, device), trust, dtype, *speed)
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
    return setting if path is None else _noted(of_checkpoint(setting, path), path, cfg)


def _check_stored(cfg: DictConfig, images: ImageSet, data: ReferenceSet) -> None:
    """Refuses stored images that no number can be had of, or only an empty one."""
    if len(images) < 2:
        raise ValueError(f"images={cfg.images} holds {len(images)} image; at least 2 are measured")
    if data.train is not None and images.fingerprint == data.train.fingerprint:
        raise ValueError(
            f"images={cfg.images} are the very images of reference={cfg.reference}: their distance "
            "is 0 whatever they show"
        )
    if data.test is not None and images.fingerprint == data.test.fingerprint:
        held_out = data.held_out if cfg.held_out is None else cfg.held_out
        print(f"images={cfg.images} are those of held_out={held_out}: the floor is their own score")


def _noted(setting: Setting, path: Path, cfg: DictConfig) -> Setting:
    """The setting; a model of other images than the data's is remarked upon."""
    if cfg.reference == "train" and cfg.held_out in (None, "test"):
        fingerprint = setting.reference_set.fingerprint
        if remark := loading.other_data(setting.facts, cfg.data, fingerprint):
            print(f"{path} {remark}")
    return setting


def _check_unused(cfg: DictConfig, subject: str) -> None:
    """Refuses choices of how images are generated where none are."""
    choices = plain_values(cfg)
    for group in ("sampler", "guidance"):
        for key, value in (choices.get(group) or {}).items():
            if value is not None:
                text = f"{group}={value}" if key == "_target_" else f"{group}.{key}={value}"
                raise ValueError(f"{text}: {subject} are not generated, so it would do nothing")


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
    print(summary(evaluation.result), f"saved {path}", sep="\n")
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
