"""The recipe of a training: what decides its result, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from zoo import paths
from zoo.averages.length import in_words, lengths
from zoo.system.nested import field_differences, leaves
from zoo.training.trainer import DATA, TRAINER

_ABSENT = "nothing"  # in the place of what a saved config does not have


def one_model(experiment: str) -> str | None:
    """The one model that an experiment of the zoo's own is about, or None for a comparison."""
    file = paths.configs() / "experiment" / f"{experiment}.yaml"
    if not file.is_file():
        return None
    entries = yaml.safe_load(file.read_text(encoding="utf-8"))["defaults"]
    for default in entries:
        if isinstance(default, dict) and "override /model" in default:
            return str(default["override /model"])
    bases = (one_model(default) for default in entries if isinstance(default, str))
    return next((model for model in bases if model), None)


def budget_mismatches(config: dict[str, Any], facts: dict[str, Any], fingerprint: str) -> list[str]:
    """The differences between a checkpoint's recorded budget and a training's config."""
    expected = {"data_fingerprint": fingerprint, **expected_budget(config)}
    return recorded_mismatches(facts.get("budget") or {}, expected)


def expected_budget(config: dict[str, Any]) -> dict[str, Any]:
    """What a training's config says of the budget that its checkpoint will record."""
    trainer, recipe = config["trainer"], config["recipe"]
    batch_size = config["data"]["batch_size"] * trainer["accumulate_grad_batches"]
    clip = trainer.get("gradient_clip_val")
    expected: dict[str, Any] = {
        "images_seen": trainer["max_steps"] * batch_size,
        "batch_size": batch_size,
        "learning_rate": float(recipe["optimizer"]["lr"]),
        "gradient_clip": None if clip is None else float(clip),
        "seed": config["seed"],
    }
    if (ema := _expected_average(recipe.get("ema"))) is not None:
        expected["ema"] = ema
    if "-" in str(trainer["precision"]):  # "auto" depends on the machine
        expected["precision"] = str(trainer["precision"])
    return expected


def _expected_average(ema: dict[str, Any] | None) -> str | None:
    """What a budget says of the average; None for a class of averages that is not the zoo's."""
    if ema is None:
        return "none"
    if "decay" not in ema:
        return None
    keys = ("decay", "warmup", "sigma_rel", "main")
    main, *_ = lengths(**{key: ema[key] for key in keys if key in ema}).values()
    return in_words(main.facts)


def model_mismatches(expected: dict[str, Any], saved: dict[str, Any]) -> list[str]:
    """The differences between a saved config and a model's, except for its sampling."""
    any_value = ("sampler", "guidance", "_partial_")
    return _in_words(
        (name, old, new)
        for name, old, new in field_differences(saved, expected, "model", any_value, _ABSENT)
        if name != "model._target_"
        and new != _ABSENT
        and (old != _ABSENT or name.endswith("._target_"))
    )


def config_mismatches(config: dict[str, Any], file: Path) -> list[str]:
    """The differences between a run's config.yaml, if there is one, and a training's recipe.

    It has what a checkpoint's budget lacks: weight decay, time sampler, augmentation.
    """
    run = recipe_of_run(file)
    return [] if run is None else _in_words(field_differences(leaves(run), leaves(recipe(config))))


def recipe_of_run(file: Path) -> dict[str, Any] | None:
    """The recipe in a run's config.yaml, or None where there is none."""
    if not file.is_file():
        return None
    return recipe(yaml.safe_load(file.read_text(encoding="utf-8")))


def recipe(config: dict[str, Any]) -> dict[str, Any]:
    """The keys of a training's config that decide its result."""
    parts = {"trainer": ("max_steps", *TRAINER), "data": ("seed", *DATA)}
    chosen = {part: {key: config.get(part, {}).get(key) for key in parts[part]} for part in parts}
    return {"recipe": config.get("recipe"), **chosen}


def recorded_mismatches(
    saved: dict[str, Any], expected: dict[str, Any], whose: str = ""
) -> list[str]:
    """The fields of ``expected`` that differ in ``saved``, in words."""
    return _in_words(field_differences({key: saved.get(key) for key in expected}, expected), whose)


def _in_words(differences: Iterable[tuple[str, Any, Any]], whose: str = "") -> list[str]:
    return [f"{whose}{name} is {old}, not {new}" for name, old, new in differences]
