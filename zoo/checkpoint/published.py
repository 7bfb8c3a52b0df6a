"""The papers' published checkpoints: what they are and where, as ``checkpoints/manifest.yaml``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo import paths
from zoo.system.errors import suggestion


def published() -> dict[str, dict[str, Any]]:
    """Every published checkpoint by name.

    Each has ``about``, ``family``, ``source`` (an address), ``sha256`` ("unknown" where no source
    states it), ``licence``, ``parameters``, ``config`` in the repository's own words, ``figures``.
    """
    return _read(str(paths.checkpoints() / "manifest.yaml"))


def entry(name: str) -> dict[str, Any]:
    """The published checkpoint of that name.

    Raises:
        ValueError: there is none.
    """
    checkpoints = published()
    if name not in checkpoints:
        raise ValueError(
            f"there is no published checkpoint '{name}': `zoo list checkpoints` shows them"
            + suggestion(name, checkpoints)
        )
    return checkpoints[name]


def line(checkpoint: dict[str, Any]) -> str:
    """A published checkpoint in one line."""
    figures = [f"{name} {text.split(' (')[0]}" for name, text in checkpoint["figures"].items()]
    size = f"{checkpoint['parameters'] / 1e6:.1f} M parameters"
    facts = ", ".join([checkpoint["about"], size, *figures[:1]])
    return f"published ({checkpoint['family']}): {facts}"


def checkpoint_file(name: str | Path) -> Path:
    """A path as it is, or the file of a checkpoint that ships, such as ``digits/ddpm``.

    Raises:
        ValueError: neither exists, or it is the name of a published one, which has to be converted.
    """
    path = Path(name)
    if _holds(path.is_file):
        return path
    root, stem = paths.checkpoints(), str(name).removesuffix(".safetensors")
    shipped = root / f"{stem}.safetensors"
    if not path.is_absolute() and _holds(shipped.is_file):
        return shipped
    if _holds(path.exists):
        raise ValueError(f"{name}: not a file")
    if (known := published().get(str(name))) is not None:
        raise ValueError(
            f"there is no file {name}: it is a published checkpoint, to be downloaded and "
            f"converted first: zoo convert source=FILE name={name}, with FILE from "
            f"{known['source']}"
        )
    names = sorted(str(p.relative_to(root).with_suffix("")) for p in root.rglob("*.safetensors"))
    shipped_names = f"; those that ship are {', '.join(names)}" if names else ""
    raise ValueError(f"{name}: no such file; there is no checkpoint {name}{shipped_names}")


def _holds(question: Callable[[], bool]) -> bool:
    """The answer; no for a name that no file can have."""
    try:
        return question()
    except OSError:
        return False


@functools.cache
def _read(path: str) -> dict[str, dict[str, Any]]:
    import yaml  # only for this file: headers are read in milliseconds without it

    try:
        with open(path, encoding="utf-8") as file:
            manifest = yaml.safe_load(file)
    except FileNotFoundError:
        return {}
    return {name: checkpoint for name, checkpoint in manifest.items() if not name.startswith("_")}
