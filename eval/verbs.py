"""What ``zoo evaluate`` and ``zoo compare`` do with their composed configs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from eval import protocol
from eval.cache import Cache
from eval.column import notes, short, title_of
from eval.compared import compared, with_splits
from eval.evaluate import Evaluation
from eval.evaluate import evaluate as measure_one
from eval.picture import png, tile
from eval.result import write_atomically
from eval.stored import StoredImages, stored
from zoo import checkpoint
from zoo.device import accelerator, torch_device
from zoo.sample import checkpoint_file, exchanged

SPLITS, DTYPES = ("train", "test"), ("float32", "bfloat16", "float64")
COLUMNS, ROWS = 10, 6
"""A grid shows the first 60 images: ten classes in a column each, where there are ten."""


class Extractors(NamedTuple):
    """Extractors by what they are for: CLIP score where they read captions, FID otherwise."""

    fid: list[Any]
    clip: list[Any]


class Shared(NamedTuple):
    """What several evaluations share."""

    data: Any
    extractors: Extractors
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
        shared = Shared(compared_with(cfg, asked), extractors(cfg, device))
    data, found, yardstick = shared
    options: dict[str, Any] = {
        **protocol.settings(asked, data),
        "protocol": protocol.title(cfg, asked),
        "metrics": metrics(cfg),
        "cache": cache(cfg),
        "yardstick": yardstick,
        "keep": cfg.keep,
    }
    if cfg.images is not None:
        images = stored(cfg.images, data.shape)
        name = cfg.name or Path(cfg.images).stem
        return measure_one(images, data, *found, name=name, **options)
    path = checkpoint_file(cfg.checkpoint)
    name = cfg.name or (path.parent.name if path.stem == "model" else path.stem)
    module = model(path, device, list(cfg.trust), asked["dtype"])
    if not hasattr(module, "generate_batches"):
        return _reconstructed(module, path, data, found, name, options, cfg.reconstruct)
    chosen: Any = OmegaConf.to_container(cfg, resolve=True)
    parts = {
        group: exchanged(getattr(module, group), chosen.get(group), group, list(cfg.trust))
        for group in ("sampler", "guidance")
    }
    return evaluate_checkpoint(module, path, data, found, name, options | parts)


def _reconstructed(
    module: Any,
    path: Path,
    data: Any,
    found: Extractors,
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
    kept = ("num_images", "seed", "batch_size", "metrics", "cache", "protocol")
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


def compared_with(cfg: DictConfig, asked: dict[str, Any]) -> Any:
    """What a protocol compares with: a data set and its splits, or images or statistics.

    Args:
        cfg: whose ``data`` is loaded where a split of it is asked for.
        asked: the protocol.

    Raises:
        ValueError: a file is missing or broken, or the splits are one.
    """
    reference, held_out = asked["reference"], asked["held_out"]
    if reference not in SPLITS:
        return compared(reference, held_out)
    data = dataset(cfg)
    if held_out in (None, *SPLITS):
        return with_splits(data, reference, held_out)
    images = stored(held_out, data.shape)
    return replace(with_splits(data, reference, None, whole=True), test=images, held_out=held_out)


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

    asked, device = protocol.flattened(cfg), accelerator(cfg.device)
    data = compared_with(cfg, asked)
    at_hand, absent = [], {}
    for name, node in (cfg.get("extractor") or {}).items():
        try:
            at_hand.append(extractor(node, device))
        except ValueError as error:
            absent[name] = str(error)
    if not at_hand:
        raise ValueError("no protocol is at hand: " + "; ".join(absent.values()))
    if cfg.images is not None:
        images: Any = stored(cfg.images, data.shape)
    else:
        module = diffusion_model(checkpoint_file(cfg.checkpoint), device, list(cfg.trust))
        made = module.generate(cfg.num_images, seed=cfg.seed, batch_size=cfg.batch_size)
        images = StoredImages(made, str(cfg.checkpoint))
    text = table(rows(images, data, at_hand, cfg.batch_size), absent)
    print(text, end="")
    return write_atomically(Path(cfg.run_dir) / "rosetta.md", text)


def evaluate_checkpoint(
    module: Any, path: Path, data: Any, found: Extractors, name: str, options: dict[str, Any]
) -> Evaluation:
    """Measures a model with its file's provenance and hash."""
    facts, sha256 = checkpoint.provenance(path), checkpoint.sha256(path)
    return measure_one(module, data, *found, name=name, facts=facts, sha256=sha256, **options)


def dataset(cfg: DictConfig) -> Any:
    """The data set of ``cfg.data``, loaded."""
    data: Any = instantiate(cfg.data, _convert_="all")
    data.prepare_data()
    data.setup()
    return data


def diffusion_model(
    path: Path, device: str, trust: Sequence[str] = (), dtype: str | None = None
) -> Any:
    """The model in a file that generates images; see ``model``.

    Raises:
        ValueError: it is not one that generates images.
    """
    module = model(path, device, trust, dtype)
    if not hasattr(module, "generate_batches"):
        raise ValueError(f"{path} holds a {type(module).__name__}, which generates no images")
    return module


def model(path: Path, device: str, trust: Sequence[str] = (), dtype: str | None = None) -> Any:
    """The model in a file, on a device; in another number format where ``dtype`` says so.

    Raises:
        ValueError: there is no such file or format.
    """
    if dtype not in (None, *DTYPES):
        raise ValueError(f"dtype is one of {', '.join(DTYPES)}, got {dtype!r}")
    module = checkpoint.load(path, trust)
    if dtype is not None:
        module = module.to(getattr(torch, dtype))
    # channels last: the same numbers up to rounding, a quarter more images per second
    return module.to(torch_device(device), memory_format=torch.channels_last)


def extractors(cfg: DictConfig, device: str) -> Extractors:
    """The extractors of ``cfg.extractor``.

    Raises:
        ValueError: an extractor's weights are missing.
    """
    made = [extractor(node, device) for node in (cfg.get("extractor") or {}).values()]
    return Extractors(
        [one for one in made if not hasattr(one, "text")],
        [one for one in made if hasattr(one, "text")],
    )


def extractor(node: Any, device: str) -> Any:
    """The extractor of one config.

    Raises:
        ValueError: its weights are missing.
    """
    where = {"device": str(torch_device(device))}
    if "small" in node._target_.lower():  # trained by the zoo: perhaps one that ships
        where["path"] = str(shipped_or_as_given(node.path))
    try:
        return instantiate(node, **where, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):
            raise ValueError(str(error.__cause__)) from error
        raise


def metrics(cfg: DictConfig) -> list[Any]:
    """The metrics of ``cfg.metric``, as partials that still want a reference."""
    return [instantiate(node, _convert_="all") for node in (cfg.get("metric") or {}).values()]


def cache(cfg: DictConfig) -> Cache | None:
    """The cache of evaluations, unless ``cache=false``."""
    return Cache() if cfg.cache else None


def shipped_or_as_given(path: str) -> Path:
    """The file of a checkpoint that ships under this name, else the path itself."""
    try:
        return checkpoint_file(path)
    except ValueError:
        return Path(path)


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
