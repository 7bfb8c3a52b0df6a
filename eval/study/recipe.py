"""The recipe of a training: what decides its result, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from zoo import paths
from zoo.averages.length import in_words, lengths
from zoo.checkpoint.name import MODEL_FILE, is_average
from zoo.system.nested import field_differences
from zoo.training.run.folder import CONFIG_FILE
from zoo.training.run.settings import differences, shaping

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
        "changes": None,  # of settings, on the way
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


def config_mismatches(config: dict[str, Any], trained: dict[str, Any] | None) -> list[str]:
    """The differences between the recipe of a trained model, if it is known, and a training's.

    It has what a checkpoint's budget lacks: weight decay, time sampler, augmentation.
    """
    return [] if trained is None else _in_words(differences(trained, recipe(config)))


def recipe_of(path: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    """The recipe of a trained model: as its file records it, else as its run's config.yaml does.

    Args:
        path: the model's file.
        facts: its provenance.

    Returns:
        None where neither does: the file is of an earlier version, or of no training.
    """
    if "settings" in facts:
        saved = {**facts["settings"], "changes": facts.get("changes")}
        return recipe(saved, max_steps=facts.get("steps"))
    file = path.with_name(CONFIG_FILE)
    if not (path.name == MODEL_FILE or is_average(path)) or not file.is_file():
        return None
    return recipe(yaml.safe_load(file.read_text(encoding="utf-8")))


def recipe(config: dict[str, Any], max_steps: int | None = None) -> dict[str, Any]:
    """The settings of a training that decide its result, beside those of its model.

    Args:
        config: of the training, resolved.
        max_steps: the steps that were made; those of the config when None.
    """
    settings = shaping(config)
    trainer, data = dict(settings.get("trainer") or {}), dict(settings.get("data") or {})
    trainer.pop("precision", None)  # "auto" depends on the machine, and the budget has it
    data.pop("content", None)  # as the budget has it, with its own hash
    steps = max_steps if max_steps is not None else (config.get("trainer") or {}).get("max_steps")
    return {
        "recipe": settings.get("recipe"),
        "trainer": {"max_steps": steps, **trainer},
        "data": data,
        "callbacks": settings.get("callbacks") or {},
        "changes": config.get("changes") or [],  # of settings, on the way
    }


def recorded_mismatches(
    saved: dict[str, Any], expected: dict[str, Any], whose: str = ""
) -> list[str]:
    """The fields of ``expected`` that differ in ``saved``, in words."""
    return _in_words(field_differences({key: saved.get(key) for key in expected}, expected), whose)


def _in_words(differences: Iterable[tuple[str, Any, Any]], whose: str = "") -> list[str]:
    return [f"{whose}{name} is {old}, not {new}" for name, old, new in differences]
