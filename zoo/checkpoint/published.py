"""The papers' published checkpoints: what they are and where, as ``checkpoints/manifest.yaml``."""

from __future__ import annotations

import functools
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
    known = published()
    if name not in known:
        raise ValueError(
            f"there is no published checkpoint '{name}': `zoo list checkpoints` shows them"
            + suggestion(name, known)
        )
    return known[name]


def line(found: dict[str, Any]) -> str:
    """A published checkpoint in one line."""
    figures = [f"{name} {text.split(' (')[0]}" for name, text in found["figures"].items()]
    facts = [found["about"], f"{found['parameters'] / 1e6:.1f} M parameters", *figures[:1]]
    return f"published ({found['family']}): {', '.join(facts)}"


def checkpoint_file(name: str) -> Path:
    """A path as it is, or the file of a checkpoint that ships, such as ``digits/ddpm``.

    Raises:
        ValueError: there is neither.
    """
    shipped = paths.checkpoints() / f"{name.removesuffix('.safetensors')}.safetensors"
    for path in (Path(name), shipped):
        if path.is_file():
            return path
    root = paths.checkpoints()
    names = sorted(str(p.relative_to(root).with_suffix("")) for p in root.rglob("*.safetensors"))
    there = f"; those that ship are {', '.join(names)}" if names else ""
    raise ValueError(f"there is no checkpoint {name}{there}")


@functools.cache
def _read(path: str) -> dict[str, dict[str, Any]]:
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            held = yaml.safe_load(file)
    except FileNotFoundError:
        return {}
    return {name: found for name, found in held.items() if not name.startswith("_")}
