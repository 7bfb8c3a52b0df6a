"""A conditioner that diffusers has no pipeline for, as a component of our own beside its."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from zoo.convert.diffusers_folder import read_json, read_weights
from zoo.convert.keys import load
from zoo.part import Part, config_of
from zoo.target import build


def conditioner_config(conditioner: Any) -> dict[str, Any]:
    """The conditioner's own config, ``_target_`` and arguments."""
    assert isinstance(conditioner, Part)
    return config_of(conditioner)


def read_conditioner(folder: Path) -> Any:
    """The conditioner that ``to_diffusers`` wrote.

    Raises:
        ValueError: its config names something else than a conditioner, or its weights do not fit.
    """
    found = build(read_json(folder / "config.json"))
    if not hasattr(found, "null") or not hasattr(found, "dropout"):
        raise ValueError(f"{folder}: its config describes a {type(found).__name__}")
    return load(found, read_weights(folder), str(folder)) if isinstance(found, nn.Module) else found
