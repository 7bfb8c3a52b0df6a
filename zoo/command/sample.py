"""The task of ``zoo sample``: images from a saved model, and a record of how they were made."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from zoo.averages.file import average_file
from zoo.checkpoint.file import load
from zoo.checkpoint.name import MODEL_FILE, folder_name, is_average, run_name
from zoo.command.parts import exchanged, repeated
from zoo.generation import Model, random_condition, sampling
from zoo.guidance import Guidance, networks, num_classes
from zoo.part import config_of
from zoo.performance.compiler import compile_denoiser
from zoo.records import Raw
from zoo.sampler import Sampler
from zoo.samples.lines import read_lines
from zoo.samples.output import check_size, rows_of, write
from zoo.samples.place import Place, place_of
from zoo.samples.prompts import as_conditions, each
from zoo.system.device import accelerator, autocast, device_name, torch_device
from zoo.system.files import sha256
from zoo.system.versions import git_commit, versions

_NUM_IMAGES = 64  # of configs/sample.yaml


class _Conditions(NamedTuple):
    """What images are drawn with: their number, and a raw condition for each."""

    num_images: int
    condition: Raw
    negative: Raw


def sample(cfg: DictConfig) -> Path:
    """Draws what ``cfg`` (configs/sample.yaml) describes and writes it with its sidecar.

    Returns:
        The picture, the ``.npz`` or the folder: ``cfg.out``, or a free name in ``cfg.run_dir``.

    Raises:
        ValueError: there is no such checkpoint, sampler, guidance or condition do not suit it, or
            the files cannot be written; nothing has been drawn then.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    _check(plain)
    file = average_file(plain["checkpoint"], plain["ema"])
    place = _place(plain, file)
    trust = plain["trust"]
    module = load(file, trust)
    if not hasattr(module, "generate"):
        raise ValueError(f"{cfg.checkpoint} holds a {type(module).__name__}, which draws no images")
    sampler = exchanged(module.sampler, plain.get("sampler"), "sampler", trust)
    guidance = exchanged(module.guidance, plain.get("guidance"), "guidance", trust)
    conditions = _conditions(plain, module, guidance)
    check_size(place, conditions.num_images, module.image_shape)
    device = accelerator(plain["device"])
    module.to(torch_device(device))
    module.channels_last = plain["channels_last"]
    if plain["compile"]:
        compile_denoiser(module, torch_device(device))
    size = min(plain["batch_size"], conditions.num_images)
    with (
        autocast(plain["precision"], device),
        sampling(module, conditions.num_images, size, sampler) as on_step,
    ):
        images = module.generate(
            conditions.num_images,
            condition=conditions.condition,
            sampler=sampler,
            guidance=guidance,
            seed=plain["seed"],
            batch_size=size,
            negative=conditions.negative,
            on_step=on_step,
        )
    facts = {
        "checkpoint": {"file": str(file), "sha256": sha256(file), "model": type(module).__name__},
        **_settings(module, sampler, guidance),
        **{key: plain[key] for key in ("seed", "precision", "channels_last", "compile")},
        "batch_size": size,
        "device": device_name(device),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "versions": versions(),
    }
    path = write(place, images, facts, rows_of(plain["seed"], *conditions))
    print(f"{conditions.num_images} images: {path}")
    return path


def _check(plain: dict[str, Any]) -> None:
    """Refuses pairs of keys that say the same in two ways."""
    for value, file in (("condition", "prompts"), ("negative", "negative_prompts")):
        if plain[value] is not None and plain[file] is not None:
            raise ValueError(f"{value}=... and {file}=FILE: give only one of them")
    if plain["prompts"] is None and plain["images_per_prompt"] != 1:
        raise ValueError(
            f"images_per_prompt={plain['images_per_prompt']} is for prompts=FILE; with "
            "condition=[...] set num_images"
        )
    if plain["prompts"] is not None and plain["num_images"] != _NUM_IMAGES:
        raise ValueError(
            f"num_images={plain['num_images']}: prompts=FILE says how many, images_per_prompt for "
            "each line; give only one of them"
        )


def _place(plain: dict[str, Any], checkpoint: Path) -> Place:
    """Where the images go: as ``out=`` says, or by the checkpoint's name."""
    per_prompt = plain["images_per_prompt"]
    columns = plain["columns"] or (per_prompt if per_prompt > 1 else None)
    if plain["out"] is not None:
        return place_of(str(plain["out"]), columns)
    name = f"{checkpoint_name(plain['checkpoint'], checkpoint)}-seed{plain['seed']}.png"
    return Place(Path(plain["run_dir"]) / name, is_folder=False, columns=columns).next_free()


def checkpoint_name(name: str, file: Path) -> str:
    """A checkpoint's name in that of a file: a run's folder, or the file's own, without slashes.

    >>> checkpoint_name("digits/ddpm", Path("/somewhere/checkpoints/digits/ddpm.safetensors"))
    'digits-ddpm'
    >>> checkpoint_name("runs/a-seed0/model.safetensors", Path("runs/a-seed0/model.safetensors"))
    'a-seed0'
    """
    if file.name == MODEL_FILE or is_average(file) or Path(name).exists():
        return folder_name(run_name(file))
    return folder_name(name.removesuffix(".safetensors"))  # one that ships


def _conditions(plain: dict[str, Any], module: Model, guidance: Guidance) -> _Conditions:
    """The condition of every image, drawn where none is named, and what guides away from it."""
    condition, negative = plain["condition"], plain["negative"]
    num_images, lines = plain["num_images"], 0
    if plain["prompts"] is not None:
        rows = read_lines(plain["prompts"])
        values = as_conditions(rows, module, guidance, plain["prompts"], "prompts")
        condition, lines = each(values, plain["images_per_prompt"]), len(values)
        num_images = len(condition)
    if plain["negative_prompts"] is not None:
        path = plain["negative_prompts"]
        rows = read_lines(path)
        negative = as_conditions(rows, module, None, path, "negative_prompts")
        if lines and len(negative) not in (1, lines):
            raise ValueError(
                f"negative_prompts={path} has {len(negative)} lines: one for all is possible, or "
                f"one for each of the {lines} of prompts={plain['prompts']}"
            )
        negative = each(negative, plain["images_per_prompt"])
    raw = repeated(condition, num_images, module, guidance)
    if raw is None:
        raw = random_condition(module, range(num_images), plain["seed"], num_classes(guidance))
    return _Conditions(num_images, raw, repeated(negative, num_images, module, what="negative"))


def _settings(module: Model, sampler: Sampler, guidance: Guidance) -> dict[str, Any]:
    """Sampler and guidance with every argument; other networks by their files."""
    others = {
        name: {"file": str(network.loaded_from), "sha256": sha256(network.loaded_from)}
        for name, network in networks(guidance)
        if hasattr(network, "loaded_from")
    }
    levels = sampler.levels(module.diffusion.schedule)
    return {
        "sampler": config_of(sampler),
        "evaluations": sampler.evaluations(levels),
        "guidance": _with_files(config_of(guidance), others),  # type: ignore[arg-type]
    }


def _with_files(config: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    nested = {k: _with_files(v, others) for k, v in config.items() if isinstance(v, dict)}
    return {**config, **nested, **{k: others[k] for k in config if k in others}}
