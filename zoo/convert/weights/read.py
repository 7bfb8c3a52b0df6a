"""Weights out of a file, whatever its format; nothing in it is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zoo.checkpoint.fit import name_list
from zoo.convert.weights.pickle import read_pickle

_INDEX = ".safetensors.index.json"
_INSIDE = ("state_dict", "model_state_dict", "model", "params_ema", "ema", "module")


def read(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a file: safetensors, whole or in shards, or any pickle of torch's.

    Args:
        path: a ``.safetensors``, a ``.safetensors.index.json`` or the folder of one, or a ``.pt``,
            ``.ckpt``, ``.pth`` or ``.bin``, in which the weights may lie under ``state_dict``.

    Raises:
        ValueError: there is no such file, it is torn, or holds no weights.
    """
    path = Path(path)
    if path.is_dir():
        path = _only_file(path)
    if path.name.endswith(_INDEX):
        return _read_shards(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return state_of(read_pickle(path), str(path))


def state_of(content: object, what: str) -> dict[str, Tensor]:
    """The weights among what a checkpoint holds: all of it, or what lies under a usual name.

    Raises:
        ValueError: there are none.
    """
    if isinstance(content, Mapping):
        for name in _INSIDE:
            inner = content.get(name)
            if isinstance(inner, Mapping) and _is_state(inner):
                return dict(inner)
        if _is_state(content):
            return dict(content)
    got = (
        f"it holds {name_list(map(str, content))}"
        if isinstance(content, Mapping)
        else "it holds no dict"
    )
    raise ValueError(f"{what}: no weights found; {got}")


def _is_state(mapping: Mapping[object, object]) -> bool:
    return bool(mapping) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in mapping.items()
    )


def _only_file(folder: Path) -> Path:
    files = sorted(folder.glob(f"*{_INDEX}")) or sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise ValueError(f"{folder}: name the file of weights; those in the folder are: {names}")
    return files[0]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: torn, or no safetensors file: {error}") from None


def _read_shards(index: Path) -> dict[str, Tensor]:
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        shards = {str(key): str(name) for key, name in weight_map.items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise ValueError(f"{index}: not an index of shards") from None
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(shards.values())):
        if Path(name).name != name:
            raise ValueError(f"{index}: the shard '{name}' does not lie beside the index")
        if not (index.parent / name).is_file():
            raise ValueError(f"{index}: the shard {name} is missing")
        tensors |= _read_safetensors(index.parent / name)
    if missing := shards.keys() - tensors.keys():
        raise ValueError(f"{index}: the shards lack {name_list(missing)}")
    return tensors
