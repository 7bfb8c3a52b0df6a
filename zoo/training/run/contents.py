"""What settings stand for here: the precision of this machine, the content of files and data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.checkpoint.published import checkpoint_file
from zoo.data import ImageData
from zoo.system.device import accelerator, precision
from zoo.system.files import sha256
from zoo.training.run.settings import shaping

_FULL_NAMES = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
_SHORT = 16  # digits of a hash


def settings_here(config: Mapping[str, Any]) -> dict[str, Any]:
    """The deciding settings of a resolved config, with what they stand for in place of names.

    ``trainer.precision`` is the one that "auto" is on this machine; files of models and tokenizers
    are the hash of their content, so they may be moved. The data's content is not yet among them.

    Raises:
        ValueError: a file or a device is not here.
    """
    settings, trainer = shaping(config), config["trainer"]
    device = accelerator(trainer["accelerator"])
    name = str(precision(trainer.get("precision") or "32-true", device))
    settings["trainer"]["precision"] = _FULL_NAMES.get(name, name)
    for key in ("autoencoder", "text_encoder", "tokenizer"):
        if (path := settings.get(key)) is not None:
            file = Path(path) if key == "tokenizer" else checkpoint_file(path)
            if not file.is_file():
                raise ValueError(f"{key}={path}: no such file")
            settings[key] = sha256(file)[:_SHORT]
    return settings


def with_data(settings: Mapping[str, Any], data: ImageData) -> dict[str, Any]:
    """The settings with ``data.content``, hashes of both splits' images, labels and captions."""
    content = {name: split.content[-_SHORT:] for name, split in data.splits.items()}
    return {**settings, "data": {**settings["data"], "content": content}}
