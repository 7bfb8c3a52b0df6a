"""The papers' published checkpoints: what they are and where, as ``checkpoints/manifest.yaml``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo import paths
from zoo.checkpoint.name import MODEL_FILE
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


def checkpoint_file(name: object) -> Path:
    """The file itself, that of a run's folder, or of a checkpoint that ships, as ``digits/ddpm``.

    Raises:
        ValueError: there is none of them, or the run has not finished; or several are named, or a
            published one, which has to be converted.
    """
    if not isinstance(name, str | Path):
        raise ValueError(f"checkpoint is one file here, got {name}")
    place = Path(name).expanduser()
    root, stem = paths.checkpoints(), str(name).removesuffix(".safetensors")
    for path in (place, place / MODEL_FILE, root / f"{stem}.safetensors"):
        if _holds(path.is_file):
            return path
    if _holds((place / "last.ckpt").is_file):
        raise ValueError(
            f"{name} has no {MODEL_FILE}: its training has not finished; its `zoo train` with "
            f"run_dir={name} ckpt_path=last resumes it"
        )
    if _holds(place.is_dir):
        raise ValueError(f"{name} has no {MODEL_FILE}: it is not the folder of a finished run")
    if _holds(place.exists):
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
