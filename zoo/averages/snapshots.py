"""Snapshots of power-function averages: one file a step, in a folder of the run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from zoo.averages.length import name_of
from zoo.averages.power import Averages
from zoo.checkpoint.header import read_header
from zoo.system.files import replacing
from zoo.system.progress import track

FOLDER = "averages"
"""Of a run's snapshots, in the run's folder."""

_KEY = "diffusion-zoo averages"
_VERSION = 1
_NAME = re.compile(r"step_\d{8,}\.safetensors")
_PART = re.compile(r"\.step_\d{8,}\.safetensors\.\d+\.part")


class Snapshot(NamedTuple):
    """What a snapshot's header says.

    Attributes:
        path: the file.
        step: optimizer steps that were done.
        sigma_rel: the lengths of the averages in it.
        training: the key of the training it was taken in.
        regular: whether it was due at this step; else it is the end of a training.
        digest: of the tensors.
    """

    path: Path
    step: int
    sigma_rel: tuple[float, ...]
    training: str
    regular: bool
    digest: str

    @property
    def averages(self) -> Averages:
        """Its averages by time and length."""
        return [(float(self.step), sigma_rel) for sigma_rel in self.sigma_rel]

    def tensors(self) -> Iterator[tuple[float, str, Tensor]]:
        """Each average's ``sigma_rel`` with each parameter's name and values, one after another.

        Raises:
            ValueError: at the end, when they are not those that were written.
        """
        digest = hashlib.blake2b()
        with safe_open(self.path, "pt") as file:
            for key in sorted(file.keys()):
                length, _, name = key.partition("/")
                values = file.get_tensor(key)
                _update(digest, key, values)
                yield float(length), name, values
        if digest.hexdigest() != self.digest:
            raise ValueError(
                f"{self.path}: damaged: these are not the numbers that were written; remove it, "
                "and averages are rebuilt from the other snapshots"
            )


def path_of(folder: Path, step: int) -> Path:
    """The file of a step's snapshot.

    >>> path_of(Path("averages"), 1000).name
    'step_00001000.safetensors'
    """
    return folder / f"step_{step:08}.safetensors"


def write(
    folder: Path,
    step: int,
    averages: Mapping[float, Mapping[str, Tensor]],
    dtype: torch.dtype,
    training: str,
    regular: bool,
) -> Path:
    """Writes the averages of one step, whole or not at all; the same ones make the same bytes.

    Args:
        folder: made where it is missing.
        step: of the training.
        averages: each ``sigma_rel`` with each parameter by its name.
        dtype: of the stored numbers; a tensor that it cannot hold stays as it is.
        training: the training's key.
        regular: see ``Snapshot``.
    """
    tensors = {
        f"{name_of(sigma_rel)}/{name}": _stored(values, dtype)
        for sigma_rel, average in averages.items()
        for name, values in average.items()
    }
    digest = hashlib.blake2b()
    for key in sorted(tensors):
        _update(digest, key, tensors[key])
    facts = {
        "version": _VERSION,
        "step": step,
        "sigma_rel": list(averages),
        "training": training,
        "regular": regular,
        "digest": digest.hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, step)
    with replacing(path) as part:
        save_file(tensors, part, {_KEY: json.dumps(facts)})  # one text: several have no order
    return path


def read(path: Path) -> Snapshot:
    """A snapshot's header.

    Raises:
        ValueError: it is torn, or no snapshot.
    """
    metadata, size, _ = read_header(path)
    if (actual := path.stat().st_size) != size:
        raise ValueError(f"{path}: torn file: {actual} bytes instead of {size}; remove it")
    try:
        facts = json.loads(metadata[_KEY])
        if facts["version"] != _VERSION:
            raise ValueError(f"version {facts['version']}")
        return Snapshot(
            path,
            int(facts["step"]),
            tuple(map(float, facts["sigma_rel"])),
            str(facts["training"]),
            bool(facts["regular"]),
            str(facts["digest"]),
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(f"{path}: no snapshot that this version reads; remove it") from None


def snapshots(folder: Path) -> list[Snapshot]:
    """All snapshots of a folder by their steps; none where there is no folder.

    Raises:
        ValueError: one cannot be read, or its name says another step.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    every = [read(file) for file in files if _NAME.fullmatch(file.name)]
    if wrong := next((each for each in every if each.path != path_of(folder, each.step)), None):
        raise ValueError(f"{wrong.path}: it is of step {wrong.step}, which its name does not say")
    return sorted(every, key=lambda each: each.step)


def check_training(every: list[Snapshot], training: str) -> None:
    """Refuses snapshots of another training.

    Raises:
        ValueError: there is one.
    """
    if other := next((each for each in every if each.training != training), None):
        raise ValueError(
            f"{other.path} is of another training than this run's (its settings or its seed "
            "differ): move it out of the folder"
        )


def combine(
    every: Sequence[Snapshot], weights: Sequence[Sequence[float]]
) -> list[dict[str, Tensor]]:
    """Combinations of the averages in snapshots, which are read once, one after another.

    Args:
        every: the snapshots.
        weights: of each combination, one for each average of each snapshot.

    Returns:
        Each combination's parameters by name, float32; the sums are taken in float64.
    """
    sums: list[dict[str, Tensor]] = [{} for _ in weights]
    first = 0
    for snapshot in track(every, description="averages", unit="snapshots"):
        place = {s: first + index for index, s in enumerate(snapshot.sigma_rel)}
        for sigma_rel, name, values in snapshot.tensors():
            for total, shares in zip(sums, weights, strict=True):
                if share := shares[place[sigma_rel]]:
                    part = values.double().mul_(share)
                    total[name] = total[name].add_(part) if name in total else part
        first += len(place)
    return [{name: values.float() for name, values in total.items()} for total in sums]


def remove_parts(folder: Path) -> None:
    """Removes what a process that was killed while it wrote has left."""
    for file in folder.iterdir() if folder.is_dir() else []:
        if _PART.fullmatch(file.name):
            file.unlink(missing_ok=True)


def _stored(values: Tensor, dtype: torch.dtype) -> Tensor:
    values = values.detach()
    cast = values.to(dtype)
    if not torch.equal(cast.isfinite(), values.isfinite()):
        cast = values  # too large
    return cast.cpu().contiguous().clone() if cast is values else cast.cpu().contiguous()


def _update(digest: hashlib.blake2b, key: str, values: Tensor) -> None:
    digest.update(f"{key}{tuple(values.shape)}{values.dtype}".encode())
    digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
