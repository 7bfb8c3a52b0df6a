"""What ``zoo evaluate`` does with its composed config, and what other verbs take from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from eval.extractor.extractor import Extractor
from eval.measure.evaluation import Evaluation
from eval.measure.evaluation import evaluate as measure
from eval.measure.reconstruction import reconstruct
from eval.measure.reference import Reference
from eval.measure.setting import Setting
from eval.report.picture import png, tile
from eval.source.parallel import Parallel, devices
from eval.source.reference_set import ReferenceSet
from eval.source.stored import open_images
from eval.study import loading, protocol
from eval.table.formatting import notes, short, title_of
from zoo import checkpoint
from zoo.checkpoint.published import checkpoint_file
from zoo.command.parts import exchanged
from zoo.module import DiffusionModule
from zoo.system.device import accelerator
from zoo.system.files import write_atomically

COLUMNS, ROWS = 10, 6
"""A grid shows the first 60 images: ten classes in a column each, where there are ten."""


class Shared(NamedTuple):
    """What several evaluations share.

    Attributes:
        data: what is compared with.
        extractors: the networks.
        reference: gives the real images' features and numbers; measured when None.
    """

    data: ReferenceSet
    extractors: list[Extractor]
    reference: Callable[[], Reference] | None = None


def evaluate(cfg: DictConfig) -> Path:
    """``zoo evaluate``: writes result.json and samples.png into ``run_dir``."""
    return save(evaluation(cfg), Path(cfg.run_dir))


def evaluation(cfg: DictConfig, shared: Shared | None = None) -> Evaluation:
    """One evaluation, of a composed configs/evaluate.yaml.

    Args:
        cfg: the config.
        shared: data and extractors, where several evaluations share them.

    Raises:
        ValueError: checkpoint, images, data and extractors do not go together.
    """
    if (cfg.checkpoint is None) == (cfg.images is None):
        raise ValueError(
            "give checkpoint=FILE (or the name of one that ships, such as digits/ddpm), or "
            "images=FOLDER"
        )
    device = accelerator(cfg.device)
    asked = protocol.flattened(cfg)
    if shared is None:
        shared = Shared(loading.reference_set(cfg, asked), loading.extractors(cfg, device))
    setting = _setting(cfg, asked, shared, device)
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


def _setting(cfg: DictConfig, asked: dict[str, Any], shared: Shared, device: str) -> Setting:
    """What is measured: stored images, or the model of a file."""
    common: dict[str, Any] = {
        "data": shared.data,
        "metrics": loading.metrics(cfg),
        "extractors": shared.extractors,
    }
    if cfg.images is not None:
        images = open_images(cfg.images, shared.data.shape)
        asked["num_images"] = len(images)
        protocol.check(asked, shared.data)
        return Setting(
            images,
            **common,
            generation=protocol.generation(asked),
            fid_counts=asked["fid_counts"],
            name=cfg.name or Path(cfg.images).stem,
            protocol=protocol.title(cfg, asked),
        )
    protocol.check(asked, shared.data)
    path = checkpoint_file(cfg.checkpoint)
    trust, dtype = list(cfg.trust), asked["dtype"]
    module = loading.model(path, device, trust, dtype)
    parts: dict[str, Any] = {}
    if isinstance(module, DiffusionModule):
        parts = chosen_parts(cfg, module)
        if cfg.devices != 1:
            parts["parallel"] = Parallel(path, devices(cfg.devices, device), trust, dtype)
    return of_checkpoint(
        Setting(
            module,
            **common,
            generation=protocol.generation(asked, **parts),
            fid_counts=asked["fid_counts"],
            name=cfg.name or (path.parent.name if path.stem == "model" else path.stem),
            protocol=protocol.title(cfg, asked),
        ),
        path,
    )


def of_checkpoint(setting: Setting, path: Path) -> Setting:
    """The setting with the provenance and the hash of its model's file."""
    facts, sha256 = checkpoint.provenance(path), checkpoint.sha256(path)
    return replace(setting, facts=facts, sha256=sha256)


def chosen_parts(cfg: DictConfig, module: DiffusionModule) -> dict[str, Any]:
    """Sampler and guidance: the model's own, or those that were chosen."""
    chosen: Any = OmegaConf.to_container(cfg, resolve=True)
    return {
        group: exchanged(getattr(module, group), chosen.get(group), group, list(cfg.trust))
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


def summary(evaluation: Evaluation) -> str:
    """The numbers in lines for a terminal."""
    lines = [f"{evaluation.result.subject.name}:"]
    for name, value in evaluation.result.values.items():
        beside = f" ({', '.join(notes(value))})" if notes(value) else ""
        lines.append(f"  {title_of(name, value)}: {short(value.value)}{beside}")
    lines += [f"  {name}: {reason}" for name, reason in evaluation.result.absent.items()]
    return "\n".join(lines)
