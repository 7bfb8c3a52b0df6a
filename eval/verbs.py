"""What ``zoo evaluate`` and ``zoo compare`` do with their composed configs."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf

from eval import loading, protocol
from eval.column import notes, short, title_of
from eval.evaluate import Evaluation
from eval.evaluate import evaluate as measure_one
from eval.images import generated, wanted
from eval.parallel import devices, generated_in_parallel
from eval.picture import png, tile
from eval.result import write_atomically
from eval.stored import StoredImages, stored
from zoo import checkpoint
from zoo.device import accelerator
from zoo.sample import checkpoint_file, exchanged

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
    parts = _parts(cfg, module)
    if cfg.devices != 1:
        options["parallel"] = functools.partial(
            generated_in_parallel,
            path,
            devices=devices(cfg.devices, device),
            trust=list(cfg.trust),
            dtype=asked["dtype"],
        )
    return evaluate_checkpoint(module, path, data, found, name, options | parts)


def _parts(cfg: DictConfig, module: Any) -> dict[str, Any]:
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
    from eval.reconstruction import reconstruct

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


def compare(cfg: DictConfig) -> Path:
    """``zoo compare``: trains what has no checkpoint, measures all, writes the report."""
    from hydra.core.hydra_config import HydraConfig

    from eval.experiment import Experiment

    running = HydraConfig.get()
    return Experiment(cfg, list(running.overrides.task), dict(running.runtime.choices)).run()


def sweep(cfg: DictConfig) -> Path:
    """``zoo sweep``: one evaluation for each combination of the comma lists."""
    from hydra.core.hydra_config import HydraConfig

    from eval import sweep_cells

    return sweep_cells.sweep(cfg, list(HydraConfig.get().overrides.task))


def rosetta(cfg: DictConfig) -> Path:
    """``zoo rosetta``: writes rosetta.md, and prints it."""
    from eval.rosetta import rows, table

    if (cfg.checkpoint is None) == (cfg.images is None):
        raise ValueError("give images=FOLDER, or checkpoint=FILE")
    asked, device = protocol.flattened(cfg), accelerator(cfg.device)
    data = loading.compared_with(cfg, asked)
    at_hand, absent = [], {}
    for name, node in (cfg.get("extractor") or {}).items():
        try:
            one = loading.extractor(node, device)
            if getattr(data, "statistics", None) is not None:
                data.statistics.moments(one)  # of this network?
            at_hand.append(one)
        except ValueError as error:
            absent[name] = str(error)
    if not at_hand:
        raise ValueError("no protocol is at hand: " + "; ".join(absent.values()))
    if cfg.images is not None:
        images: Any = stored(cfg.images, data.shape)
    else:
        path, trust = checkpoint_file(cfg.checkpoint), list(cfg.trust)
        module = loading.diffusion_model(path, device, trust, asked["dtype"])
        parts = _parts(cfg, module)
        want = wanted(
            module, data, cfg.num_images, parts["guidance"], asked["labels"], asked["seed"]
        )
        batches = generated(module, want, cfg.num_images, asked["seed"], cfg.batch_size, **parts)
        images = StoredImages(torch.cat([one.images for one in batches]), str(cfg.checkpoint))
    text = table(rows(images, data, at_hand, cfg.batch_size), absent)
    print(text, end="")
    return write_atomically(Path(cfg.run_dir) / "rosetta.md", text)


def statistics(cfg: DictConfig) -> list[Path]:
    """``zoo statistics``: writes an npz for each extractor, named by what it is made of.

    Raises:
        ValueError: there are no such images or extractors.
    """
    from eval.moments import write

    device = accelerator(cfg.device)
    chosen = cfg.get("extractor") or {}
    extractors = {name: loading.extractor(node, device) for name, node in chosen.items()}
    if not extractors:
        raise ValueError("extractor=[] leaves nothing to measure with")
    if cfg.images is not None:
        images: Any = stored(cfg.images)
        name = Path(cfg.images).stem
    elif cfg.split in loading.SPLITS:
        data = loading.dataset(cfg)
        images, name = getattr(data, cfg.split), f"{data.name}-{cfg.split}"
    else:
        raise ValueError(f"split is one of {', '.join(loading.SPLITS)}, got {cfg.split!r}")
    written = []
    for choice, extractor in extractors.items():
        path = Path(cfg.run_dir) / f"{name}-{re.sub('[^A-Za-z0-9_-]+', '-', extractor.name)}.npz"
        written.append(write(path, images, extractor, name, cfg.batch_size))
        print(
            f"wrote {path}: compare with it by `zoo evaluate ... reference={path} "
            f"extractor=[{choice}]`"
        )
    return written


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
