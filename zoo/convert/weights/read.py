"""Weights out of a file, whatever its format; nothing in it is executed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from zoo.checkpoint.fit import name_list
from zoo.checkpoint.header import read_header
from zoo.convert.text import read_json
from zoo.convert.weights.choice import choose, is_averaged
from zoo.convert.weights.pickle import read_pickle
from zoo.convert.weights.state import Weights

_INDEX = re.compile(r"\.index(\.[\w-]+)?\.json$")  # .index.json, .index.fp16.json
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


def read(path: str | Path, weights: str | None = None) -> Weights:
    """The state dict of a file: safetensors or any pickle of torch's, whole or in shards.

    Args:
        path: a ``.safetensors``, ``.pt``, ``.ckpt``, ``.pth`` or ``.bin``, in which the weights may
            lie under usual names, the ``.index.json`` of shards, or the folder of one of these.
        weights: "ema" (averages), "raw" (the last ones), or the name of an entry of the file; None
            takes the averages where there are any.

    Returns:
        The weights without the prefixes of training tools; ``origin`` says which they are.

    Raises:
        ValueError: there is no such file, it is torn, holds no weights or not those that are asked
            for, or another file beside it has the averages and ``weights`` is None.
    """
    path = Path(path)
    if path.is_dir():
        path = _only_file(path)
    chosen = choose(read_file(path), weights, str(path), path.stem)
    if weights is None and chosen.choice == "raw" and (beside := list(_averages_beside(path))):
        raise ValueError(
            f"{path}: {name_list(beside)} beside it has the averages: convert that, or take these "
            "by weights=raw"
        )
    return chosen


def read_file(path: Path) -> object:
    """What a file, or the files of an index, hold: tensors by name, or a pickle's containers.

    Raises:
        ValueError: there is no such file, or it is torn.
    """
    if _INDEX.search(path.name):
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return read_pickle(path)


def _averages_beside(path: Path) -> Iterator[str]:
    """The files beside one that are named as its averages, ``ema_0.9999_5.pt`` as ``model5.pt``."""
    for other in sorted(path.parent.glob(f"*{path.suffix}")):
        if other.suffix in _SUFFIXES and is_averaged(other.stem) and not is_averaged(path.stem):
            if _plain(other.stem) == _plain(path.stem):
                yield other.name


def _plain(stem: str) -> str:
    """A file's name without what says model or averages."""
    return re.sub(r"(?i)model|ema(_?only)?|0?\.\d+|[^a-z0-9]+", "", stem)


def _only_file(folder: Path) -> Path:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    indices = [file for file in files if _INDEX.search(file.name)]
    whole = [file for suffix in _SUFFIXES[:2] for file in files if file.suffix == suffix]
    candidates = indices or [file for file in whole if file.suffix == whole[0].suffix]
    if len(candidates) != 1:
        names = ", ".join(file.name for file in candidates) or "none"
        raise ValueError(f"{folder}: name the file of weights; those in the folder are: {names}")
    return candidates[0]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    read_header(path)
    try:
        return load_file(path)
    except Exception as error:  # a broken header can raise anything
        line = " ".join(str(error).split())
        raise ValueError(f"{path}: torn, or no safetensors file: {line}") from None


def _read_shards(index: Path) -> dict[str, Tensor]:
    """The tensors of all shards, each from the shard that the index says has it."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index}: not an index of shards")
    shards = {str(key): str(name) for key, name in weight_map.items()}
    tensors: dict[str, Tensor] = {}
    surplus: set[str] = set()
    for name in sorted(set(shards.values())):
        if Path(name).name != name:
            raise ValueError(f"{index}: the shard '{name}' does not lie beside the index")
        if not (index.parent / name).is_file():
            raise ValueError(f"{index}: the shard {name} is missing")
        content = read_file(index.parent / name) if not _INDEX.search(name) else None
        if not isinstance(content, dict):
            raise ValueError(f"{index}: the shard {name} holds no state dict")
        own = {key for key in content if shards.get(key) == name}
        surplus |= content.keys() - shards.keys()
        tensors |= {key: content[key] for key in own}
    if missing := shards.keys() - tensors.keys():
        raise ValueError(f"{index}: the shards lack {name_list(missing)}")
    if surplus:
        raise ValueError(f"{index}: does not list the shards' {name_list(map(str, surplus))}")
    return tensors
