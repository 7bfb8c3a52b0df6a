"""One safetensors file holds a model: its weights, its resolved config and where it came from.

``torch`` is imported inside the functions that need it, so that ``config`` and ``provenance`` read
a file's header in milliseconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.checkpoint.build import build, check_config, current
from zoo.checkpoint.fit import check_finite, check_fit, refuse_misfits, wrong_shapes
from zoo.checkpoint.header import read_header
from zoo.checkpoint.outline import outline
from zoo.checkpoint.published import checkpoint_file
from zoo.part import config_of
from zoo.system.files import replacing
from zoo.system.versions import git_commit, versions

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FORMAT = "diffusion-zoo"
VERSION = 1
_LONGEST = 1000  # characters of an error
_SMALL = 10_000_000  # numbers that may be built before they are compared


def save(
    module: nn.Module,
    path: str | Path,
    provenance: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Writes a live module's weights, config and provenance into one file.

    The file appears at once or not at all: a full disk or Ctrl-C leaves an older file intact.

    Args:
        module: any ``Part`` that is an ``nn.Module``.
        path: where to write; missing folders are made.
        provenance: plain values (data fingerprint, images seen, seed, ...); the time, the git
            commit and the versions are added.
        dtype: parameters of floating point are stored in it (``torch.float16`` halves a file);
            buffers keep theirs. Loading restores the module's own dtype.

    Raises:
        ValueError: the module's config could not be loaded again, or a weight is too large for
            ``dtype``.
    """
    from safetensors.torch import save_file

    module_config = config_of(module)  # type: ignore[arg-type]
    check_config(module_config, trust=None)  # what could not be loaded again fails early
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "config": json.dumps(module_config),
        "provenance": json.dumps({**_circumstances(), **(provenance or {})}),
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        save_file(_tensors(module, dtype), part, metadata)
    return path


def load(path: str | Path, trust: Sequence[str] = ()) -> Any:
    """The module that was saved, on the CPU and in evaluation mode. Nothing is unpickled.

    Its ``loaded_from`` is the path. What the config describes is compared with the file before
    anything of its size is built.

    Args:
        path: a file that ``save`` wrote, or the name of one that ships, such as ``digits/ddpm``.
        trust: packages, beside ``zoo`` and ``torch.nn``, whose classes the config may name.

    Raises:
        ValueError: the file is torn or foreign, its config names something that may not be built,
            or its weights do not fit.
    """
    import torch
    from safetensors.torch import load_file

    path = checkpoint_file(path)
    saved_config = config(path)
    shapes = read_header(path).tensors
    try:
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn and thrown away
            _compare(lambda: build(saved_config, trust), shapes, trust)
            module = build(saved_config, trust)
        weights = load_file(path)
        _fit(module, weights)
    except Exception as error:  # a changed number or name may break a constructor anywhere
        raise ValueError(f"{path}: {_one_line(error)}") from error
    loaded: Any = module.eval()
    loaded.loaded_from = path
    return loaded


def config(path: str | Path) -> dict[str, Any]:
    """The saved module's config, read from the file's header alone, at this version's addresses."""
    saved = _json(path, "config")
    try:
        return dict(current(saved))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def provenance(path: str | Path) -> dict[str, Any]:
    """The weights' provenance, read from the file's header alone."""
    return _json(path, "provenance")


def _circumstances() -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"time": now, "git_commit": git_commit(), "versions": versions()}


def _tensors(module: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The tensors to write: contiguous, each memory once, parameters in ``dtype``."""
    import torch

    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    left_out = tuple(f"{name}." for name in getattr(module, "not_saved", ()))
    state = {k: v for k, v in module.state_dict().items() if not k.startswith(left_out)}
    tensors: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name in _owners(state):
        tensor = state[name].detach().cpu()
        if dtype is not None and name in parameters and tensor.is_floating_point():
            cast = tensor.to(dtype)
            if not torch.equal(cast.isfinite(), tensor.isfinite()):
                raise ValueError(f"'{name}' has weights that {dtype} cannot hold: store float32")
            tensor = cast
        tensor = tensor.contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in storages or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()  # safetensors refuses views of one storage
        storages.add(storage.data_ptr())
        tensors[name.replace("_orig_mod.", "")] = tensor  # which torch.compile(module) inserts
    return tensors


def _owners(state: dict[str, Tensor]) -> dict[str, list[str]]:
    """Each memory's first name, mapped to all names that share it, itself included."""
    import torch

    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"'{name}' is a {type(tensor).__name__}: only tensors can be saved")
    first: dict[object, str] = {}
    names: dict[str, list[str]] = {}
    for name, tensor in state.items():
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride()) if tensor.numel() else name
        names.setdefault(first.setdefault(key, name), []).append(name)
    return names


def _compare(
    make: Callable[[], object], shapes: Mapping[str, tuple[int, ...]], trust: Sequence[str]
) -> None:
    """Refuses a module whose weights have other names or shapes, before it takes memory."""
    import torch

    try:
        module = outline(make, len(shapes))
    except (NotImplementedError, RuntimeError, TypeError):
        if not trust:
            raise
        return  # a class that is trusted may read numbers while it is built
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"its config describes a {type(module).__name__}, not a module")
    # without numbers there is no memory to share: parameters are one where they are one object
    state = module.state_dict(keep_vars=True)
    first = {id(value): key for key, value in reversed(state.items())}
    ours = {key: tuple(state[key].shape) for key in first.values()}
    missing = {key: shape for key, shape in ours.items() if key not in shapes}
    surplus, wrong = shapes.keys() - state.keys(), wrong_shapes(ours, shapes)
    numbers = sum(math.prod(shape) for shape in missing.values())
    if wrong or surplus or numbers > _SMALL:  # few may be parts of one memory: see below
        refuse_misfits(missing, surplus, wrong, "")


def _fit(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copies ``weights`` into ``module``; every key and shape has to match."""
    state = module.state_dict()
    owners = _owners(state)
    check_fit({name: state[name] for name in owners}, weights)
    check_finite(weights)
    module.load_state_dict(
        {alias: weights[name] for name, aliases in owners.items() for alias in aliases}
    )


def _one_line(error: Exception) -> str:
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _json(path: str | Path, name: str) -> dict[str, Any]:
    """A part of the metadata, read as the JSON object that it is."""
    try:
        value = json.loads(_metadata(path)[name])
    except (KeyError, json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: its {name} cannot be read")
    return value


def _metadata(path: str | Path) -> dict[str, str]:
    """The header's metadata; the file's size is checked against the header."""
    path = checkpoint_file(path)
    metadata, expected, _ = read_header(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path}: a safetensors file, but not one that this zoo's save() wrote")
    if metadata.get("version") != str(VERSION):
        raise ValueError(
            f"{path}: written in format {metadata.get('version')!r}, this version reads {VERSION}: "
            "update diffusion-zoo"
        )
    if (size := Path(path).stat().st_size) != expected:
        raise ValueError(f"{path}: torn file: {size} bytes instead of {expected}")
    return metadata
