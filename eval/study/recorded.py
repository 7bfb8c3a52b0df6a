"""Whether a training that was made is the one asked for, by what its files say of it: pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from eval.result.parse import leaves

_TRAINER = ("max_steps", "precision", "gradient_clip_val", "accumulate_grad_batches")
_DATA = ("seed", "batch_size", "condition", "flip", "crop_from")  # where from does not matter


def unlike_budget(config: dict[str, Any], facts: dict[str, Any], fingerprint: str) -> list[str]:
    """Where a checkpoint's recorded budget is not that of a training's config.

    Args:
        config: of the training that is asked for, resolved.
        facts: the checkpoint's provenance.
        fingerprint: of the data.
    """
    trainer, recipe = config["trainer"], config["recipe"]
    batch_size = config["data"]["batch_size"] * trainer["accumulate_grad_batches"]
    clip, ema = trainer.get("gradient_clip_val"), recipe.get("ema")
    asked: dict[str, Any] = {
        "data_fingerprint": fingerprint,
        "images_seen": trainer["max_steps"] * batch_size,
        "batch_size": batch_size,
        "learning_rate": float(recipe["optimizer"]["lr"]),
        "gradient_clip": None if clip is None else float(clip),
        "seed": config["seed"],
    }
    if ema is None or "decay" in ema:
        asked["ema"] = "none" if ema is None else f"decay {ema['decay']:g}"
    if "-" in str(trainer["precision"]):  # "auto" is whatever suits the machine
        asked["precision"] = str(trainer["precision"])
    return unequal(facts.get("budget") or {}, asked)


def unlike_model(asked: Any, saved: Any, where: str = "model") -> list[str]:
    """Where a saved config is not the one asked for; how it is sampled may differ."""
    if not (isinstance(asked, dict) and isinstance(saved, dict)):
        return [] if asked == saved else [f"{where} is {saved}, not {asked}"]
    found = []
    for key, value in asked.items():
        if key in ("sampler", "guidance", "_partial_") or (key == "_target_" and where == "model"):
            continue
        if key in saved:
            found += unlike_model(value, saved[key], f"{where}.{key}")
        elif key == "_target_":
            found.append(f"{where} is {saved}, not a {value}")
    return found


def unlike_config(config: dict[str, Any], file: Path) -> list[str]:
    """Where a run's own config.yaml has another recipe than a training's, if there is one.

    It knows what a checkpoint's budget does not: weight decay, time sampler, augmentation.
    """
    if not file.is_file():
        return []
    saved, asked = (
        leaves(
            {
                "recipe": whole.get("recipe"),
                "trainer": {key: whole.get("trainer", {}).get(key) for key in _TRAINER},
                "data": {key: whole.get("data", {}).get(key) for key in _DATA},
            }
        )
        for whole in (yaml.safe_load(file.read_text(encoding="utf-8")), config)
    )
    return unequal(saved, {key: asked.get(key) for key in {**saved, **asked}})


def unequal(saved: dict[str, Any], asked: dict[str, Any], whose: str = "") -> list[str]:
    """The fields of ``asked`` that are otherwise in ``saved``, in words.

    >>> unequal({"seed": 0, "ema": "none"}, {"seed": 1})
    ['seed is 0, not 1']
    """
    return [
        f"{whose}{field} is {saved.get(field)}, not {value}"
        for field, value in asked.items()
        if saved.get(field) != value
    ]
