"""A cache of evaluations and images, keyed by everything they depend on.

An evaluation's key is made of the weights' and the data's content, every setting that could move a
number, and the zoo's own source: the same evaluation costs nothing a second time, and anything
different is measured again. Images are stored batch by batch while they are generated, so that an
interrupted evaluation resumes where it stopped; they are removed when it is complete.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from eval.extractor.extractor import Extractor
from eval.measure import cache_key
from eval.moments.npz import npz_bytes
from eval.result.record import Result
from eval.source.batch import Images
from eval.source.generated import Conditions
from zoo import paths
from zoo.system.files import write_atomically

_SHOWN = 100  # images stored beside a result, for its grid


class Cache:
    """A folder of results, and of the images of unfinished ones.

    Args:
        folder: created if necessary; ``evaluations`` in the zoo's cache when None.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else paths.cache() / "evaluations"

    def find(self, facts: dict[str, Any]) -> tuple[Result, Tensor, Tensor] | None:
        """The result of these facts, its first images and its closest pairs; None if there is none.

        Torn files count as none.
        """
        folder = self.folder / key(facts)
        arrays = _arrays(folder / "images.npz")
        try:
            result = Result.load(folder / "result.json")
        except ValueError:
            return None
        if arrays is None or not {"images", "pairs"} <= arrays.keys():
            return None
        return result, torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["pairs"])

    def keep(self, facts: dict[str, Any], result: Result, images: Tensor, pairs: Tensor) -> None:
        """Stores a result with its first images, which come first, so that it is complete."""
        folder = self.folder / key(facts)
        data = npz_bytes({"images": images[:_SHOWN].numpy(), "pairs": pairs.numpy()})
        write_atomically(folder / "images.npz", data)
        write_atomically(folder / "facts.json", json.dumps(facts, indent=2, sort_keys=True))
        result.save(folder / "result.json")

    def numbers(self, facts: dict[str, Any]) -> dict[str, Any] | None:
        """The numbers of real images under these facts, or None."""
        try:
            file = self.folder / "real" / f"{key(facts)}.json"
            numbers: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return numbers

    def keep_numbers(self, facts: dict[str, Any], numbers: dict[str, Any]) -> None:
        """Stores numbers of real images, floats to the last digit."""
        write_atomically(self.folder / "real" / f"{key(facts)}.json", json.dumps(numbers))

    def features_folder(self, network: Extractor, fingerprint: str) -> Path:
        """The folder of an extractor's features of the images with this fingerprint."""
        facts = {"features": cache_key.extractor(network), "of": fingerprint}
        return self.folder / "features" / key(facts)

    def batches(self, facts: dict[str, Any]) -> Batches:
        """The images of a generation, as far as they were generated."""
        return Batches(self.folder / "images" / key(facts))


class Batches:
    """Generated images on disk, a file for each batch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resumed(
        self, make: Callable[[int], Iterator[Images]], conditions: Conditions, num_images: int
    ) -> Iterator[Images]:
        """The images stored from the first on without a gap, then those that ``make`` generates."""
        first = 0
        while first < num_images:
            arrays = _arrays(self.folder / f"{first}.npz")
            if arrays is None:
                break
            images = torch.from_numpy(arrays["images"])[: num_images - first]
            share = len(images) / len(arrays["images"])
            evaluations = json.loads(str(arrays["evaluations"]))
            yield conditions.batch(images, first, float(arrays["seconds"]) * share)._replace(
                evaluations={name: round(rows * share) for name, rows in evaluations.items()}
            )
            first += len(images)
        for batch in make(first) if first < num_images else ():
            arrays = {
                "images": batch.images.numpy(),
                "seconds": np.array(batch.seconds),
                "evaluations": np.array(json.dumps(batch.evaluations or {})),
            }
            write_atomically(self.folder / f"{first}.npz", npz_bytes(arrays))
            first += len(batch.images)
            yield batch

    def remove(self) -> None:
        """Frees the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def key(facts: dict[str, Any]) -> str:
    """sha256 of the facts and of the zoo's source."""
    text = json.dumps({**facts, "source": source()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def source() -> str:
    """sha256 of the source of ``zoo`` and ``eval``: another version measures again."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[2]
    for file in sorted([*(root / "zoo").rglob("*.py"), *(root / "eval").rglob("*.py")]):
        digest.update(f"{file.relative_to(root)}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _arrays(path: Path) -> dict[str, np.ndarray] | None:
    """A file's arrays; None where there is none or it is torn."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, BadZipFile):
        return None
