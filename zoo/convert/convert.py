"""The task of ``zoo convert``: published weights in, one file of this zoo out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from zoo.checkpoint import published, save
from zoo.convert.compvis import from_compvis
from zoo.convert.diffusers import from_diffusers
from zoo.convert.family import FAMILIES, family_of
from zoo.convert.openai import from_openai
from zoo.convert.text import merged, read_arguments
from zoo.convert.weights import read

_DTYPES = ("float32", "float16", "bfloat16")


def convert(cfg: DictConfig) -> Path:
    """Converts what ``cfg`` (configs/convert.yaml) describes and writes it to ``cfg.out``.

    Raises:
        ValueError: the source, its config and its family do not go together, or its checksum is
            not the published one.
    """
    source = Path(cfg.source)
    if not source.exists():
        raise ValueError(f"there is no {source}: source names a downloaded file or a folder")
    if cfg.dtype not in _DTYPES:
        raise ValueError(f"dtype={cfg.dtype}: possible are {', '.join(_DTYPES)}")
    out = Path(cfg.out or f"{cfg.name or source.stem}.safetensors")
    if out.exists() and out.samefile(source):
        raise ValueError(f"out={out} is the source itself, which would be lost: give another out")
    if out.suffix != ".safetensors":
        raise ValueError(f"out={out}: weights are written to a .safetensors file")
    entry = published.entry(cfg.name) if cfg.name else {}
    checked = _digests(source, entry)
    family, module = _model(source, cfg, entry)
    if cfg.tokenizer is not None:
        take = getattr(getattr(module, "conditioner", None), "set_tokenizer", None)
        if take is None:
            raise ValueError(f"tokenizer={cfg.tokenizer}: this model reads no captions")
        take(Path(cfg.tokenizer).read_bytes())
    origin = {"family": family, "source": source.name, **checked}
    if entry:
        origin |= {"name": cfg.name, "published": entry["source"], "licence": entry["licence"]}
    dtype = None if cfg.dtype == "float32" else getattr(torch, cfg.dtype)
    choice = dict(getattr(module, "origin", {}))
    path = save(module, out, {**choice, "converted": origin}, dtype=dtype)
    count = sum(parameter.numel() for parameter in module.parameters())
    for name, value in choice.items():
        print(f"{name}: {value}")
    print(f"{type(module).__name__}, {count:,} parameters: {path}")
    return path


def _model(source: Path, cfg: DictConfig, entry: Mapping[str, Any]) -> tuple[str, Any]:
    """The family, chosen or recognised by the weights, and the model."""
    family = cfg.family or entry.get("family")
    if family is None and source.is_dir():
        family = "diffusers"
    if family not in (None, *FAMILIES):
        raise ValueError(f"there is no family '{family}': possible are {', '.join(FAMILIES)}")
    if family == "diffusers":
        if cfg.config is not None:
            raise ValueError("a diffusers folder has its own configs: leave config=null")
        return family, from_diffusers(source, weights=cfg.weights, variant=cfg.variant)
    if cfg.variant is not None:
        raise ValueError(f"variant={cfg.variant} chooses among the files of a diffusers folder")
    state = read(source, cfg.weights)
    try:
        family = family or family_of(state)
        if family not in ("openai", "compvis"):
            raise ValueError(f"weights of the family '{family}' are no file to convert")
        config = _config(cfg.config, entry.get("config"))
        return family, (from_openai if family == "openai" else from_compvis)(state, config)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _config(choice: Any, published_config: Any) -> dict[str, Any]:
    """The config as plain values: the published one, overridden by a file's or the user's."""
    if choice is None and published_config is None:
        raise ValueError(
            "the weights alone do not say what they are: give name=NAME of a published checkpoint, "
            "or config=FILE.yaml in the words of the repository that trained them"
        )
    if isinstance(choice, str):
        choice = read_arguments(Path(choice))
    elif choice is not None:
        choice = OmegaConf.to_container(choice, resolve=True)
    return merged(dict(published_config or {}), choice or {})


def _digests(source: Path, entry: Mapping[str, Any]) -> dict[str, str]:
    """The file's SHA-256, compared with the published one.

    Raises:
        ValueError: it is another file, or a torn one.
    """
    if source.is_dir():
        return {}
    digests = {"sha256": _digest(source, "sha256")}
    for kind in ("sha256", "md5"):
        expected = entry.get(kind, "unknown")
        if expected == "unknown":
            continue
        if (got := digests.get(kind) or _digest(source, kind)) != expected:
            raise ValueError(
                f"{source}: not the published file, or torn: its {kind} is {got}, not {expected}"
            )
    return digests


def _digest(path: Path, kind: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
