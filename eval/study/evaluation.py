"""What ``zoo evaluate`` does with its composed config, and what other verbs take from it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from eval.measure.evaluation import Evaluation
from eval.measure.evaluation import evaluate as measure_one
from eval.report.picture import png, tile
from eval.source.parallel import devices, generated_in_parallel
from eval.source.stored import stored
from eval.study import loading, protocol
from eval.table.metric_columns import notes, short, title_of
from zoo import checkpoint
from zoo.checkpoint.published import checkpoint_file
from zoo.command.parts import exchanged
from zoo.system.device import accelerator
from zoo.system.files import write_atomically

COLUMNS, ROWS = 10, 6
"""A grid shows the first 60 images: ten classes in a column each, where there are ten."""


class Shared(NamedTuple):
    """What several evaluations share."""

    data: Any
    extractors: loading.Extractors
    yardstick: Callable[[], Any] | None = None


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
        shared = Shared(loading.compared_with(cfg, asked), loading.extractors(cfg, device))
    data, found, yardstick = shared
    images = None if cfg.images is None else stored(cfg.images, data.shape)
    if images is not None:
        asked["num_images"] = len(images)
    options: dict[str, Any] = {
        **protocol.settings(asked, data),
        "protocol": protocol.title(cfg, asked),
        "metrics": loading.metrics(cfg),
        "cache": loading.cache(cfg),
        "yardstick": yardstick,
        "keep": cfg.keep,
    }
    if images is not None:
        name = cfg.name or Path(cfg.images).stem
        return measure_one(images, data, *found, name=name, **options)
    path = checkpoint_file(cfg.checkpoint)
    name = cfg.name or (path.parent.name if path.stem == "model" else path.stem)
    module = loading.model(path, device, list(cfg.trust), asked["dtype"])
    if not hasattr(module, "generate_batches"):
        return _reconstructed(module, path, data, found, name, options, cfg.reconstruct)
    parts = chosen_parts(cfg, module)
    if cfg.devices != 1:
        options["parallel"] = functools.partial(
            generated_in_parallel,
            path,
            devices=devices(cfg.devices, device),
            trust=list(cfg.trust),
            dtype=asked["dtype"],
        )
    return evaluate_checkpoint(module, path, data, found, name, options | parts)


def chosen_parts(cfg: DictConfig, module: Any) -> dict[str, Any]:
    """Sampler and guidance: the model's own, or those that were chosen."""
    chosen: Any = OmegaConf.to_container(cfg, resolve=True)
    return {
        group: exchanged(getattr(module, group), chosen.get(group), group, list(cfg.trust))
        for group in ("sampler", "guidance")
    }


def _reconstructed(
    module: Any,
    path: Path,
    data: Any,
    found: loading.Extractors,
    name: str,
    options: dict[str, Any],
    posterior: str,
) -> Evaluation:
    """An autoencoder's evaluation: how well it gives held-out images back."""
    from eval.measure.reconstruction import reconstruct

    if not hasattr(module, "reconstruct"):
        raise ValueError(
            f"{path} holds a {type(module).__name__}, which neither generates nor reconstructs "
            "images"
        )
    if options["keep"] is not None:
        raise ValueError("keep=... writes generated images; an autoencoder generates none")
    kept = ("num_images", "seed", "batch_size", "metrics", "cache")  # no protocol of generation
    return reconstruct(
        module,
        data,
        found.fid,
        name=name,
        facts=checkpoint.provenance(path),
        sha256=checkpoint.sha256(path),
        posterior=posterior,
        **{key: options[key] for key in kept},
    )


def evaluate_checkpoint(
    module: Any,
    path: Path,
    data: Any,
    found: loading.Extractors,
    name: str,
    options: dict[str, Any],
) -> Evaluation:
    """Measures a model with its file's provenance and hash."""
    facts, sha256 = checkpoint.provenance(path), checkpoint.sha256(path)
    return measure_one(module, data, *found, name=name, facts=facts, sha256=sha256, **options)


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
