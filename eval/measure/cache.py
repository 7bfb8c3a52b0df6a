"""A cache of evaluations and images, keyed by everything they depend on.

An evaluation's key is made of the weights' and the data's content, every setting that could move a
number, and the zoo's own source: the same evaluation costs nothing a second time, and anything
different is measured again. Images are stored batch by batch while they are generated, so that an
interrupted evaluation resumes where it stopped; they are removed when it is complete.

Every file carries a checksum. One that is damaged, edited or in another's place counts as none,
with a warning, and what it held is measured again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from eval.extractor.extractor import Extractor
from eval.measure import cache_key
from eval.moments.npz import npz_bytes
from eval.result.checksum import WRONG, check_sealed, checksum, replacing_sealed
from eval.result.record import Result
from eval.source.batch import Images
from eval.source.generated import Conditions
from zoo import paths
from zoo.system.files import write_atomically

_SHOWN = 100  # images stored beside a result, for its grid
_DAMAGE = (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, BadZipFile)

T = TypeVar("T")


class Cache:
    """A folder of results, and of the images of unfinished ones.

    Args:
        folder: created if necessary; ``evaluations`` in the zoo's cache when None.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else paths.evaluations()

    def find(self, facts: dict[str, Any]) -> tuple[Result, Tensor, Tensor] | None:
        """The result of these facts, its first images and its closest pairs; None if there is none.

        Damaged files count as none.
        """
        folder = self.folder / key(facts)
        arrays = _arrays(folder / "images.npz")
        if arrays is None:
            return None
        seal = str(arrays["result"])
        result = believed(folder / "result.json", lambda file: _result(file, seal))
        if result is None:
            return None
        return result, torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["pairs"])

    def keep(self, facts: dict[str, Any], result: Result, images: Tensor, pairs: Tensor) -> None:
        """Stores a result with its first images, which come first, so that it is complete."""
        folder, text = self.folder / key(facts), result.to_json(sealed=True)
        arrays = {
            "images": images[:_SHOWN].numpy(),
            "pairs": pairs.numpy(),
            "result": np.array(hashlib.sha256(text.encode()).hexdigest()),
        }
        with kept(folder / "images.npz"):
            _write_arrays(folder / "images.npz", arrays)
        with kept(folder / "facts.json"):
            write_atomically(folder / "facts.json", json.dumps(facts, indent=2, sort_keys=True))
        with kept(folder / "result.json"):
            write_atomically(folder / "result.json", text)

    def numbers(self, facts: dict[str, Any]) -> dict[str, Any] | None:
        """The numbers of real images under these facts, or None."""
        return believed(self._numbers_file(facts), _numbers)

    def keep_numbers(self, facts: dict[str, Any], numbers: dict[str, Any]) -> None:
        """Stores numbers of real images, floats to the last digit."""
        file = self._numbers_file(facts)
        record = {**numbers, "key": file.stem}
        with kept(file):
            write_atomically(file, json.dumps({**record, "sha256": checksum(record)}))

    def _numbers_file(self, facts: dict[str, Any]) -> Path:
        return self.folder / "real" / f"{key(facts)}.json"

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
        self,
        make: Callable[[int], Iterator[Images]],
        conditions: Conditions,
        boundaries: Sequence[range],
    ) -> Iterator[Images]:
        """The batches stored from the first on without a gap, then those that ``make`` generates.

        Only batches within the same boundaries as those that would be made count: networks round
        differently for another number of rows, and a continued evaluation repeats an unbroken one.

        Args:
            make: generates from an index on.
            conditions: of all images.
            boundaries: the indices of each batch of an unbroken generation.
        """
        count = 0
        for rows in boundaries:
            arrays = _arrays(self._file(rows))
            if arrays is None:
                break
            batch = conditions.batch(
                torch.from_numpy(arrays["images"]), rows.start, float(arrays["seconds"])
            )
            yield batch._replace(evaluations=json.loads(str(arrays["evaluations"])))
            count += 1
        left = boundaries[count:]
        batches = make(left[0].start) if left else iter(())
        for rows, batch in zip(left, batches, strict=True):
            arrays = {
                "images": batch.images.numpy(),
                "seconds": np.array(batch.seconds),
                "evaluations": np.array(json.dumps(batch.evaluations or {})),
            }
            with kept(self._file(rows)):
                _write_arrays(self._file(rows), arrays)
            yield batch

    def _file(self, rows: range) -> Path:
        return self.folder / f"{rows.start}-{rows.stop}.npz"

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


def believed(path: Path, read: Callable[[Path], T]) -> T | None:
    """What ``read`` makes of a kept file; None where it is absent, damaged or edited.

    All but an absent one come with a warning.
    """
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        place, reason = path, str(error)
        if isinstance(error, OSError):
            place, reason = error.filename or path, str(error.strerror)
        rank_zero_warn(f"{place} is not used ({reason}): what it held is measured again")
        return None


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Within, a file is written: where that fails, the measurement goes on without it."""
    try:
        yield
    except IsADirectoryError:
        return  # a folder in its place, which was warned of when it was read
    except OSError as error:
        rank_zero_warn(f"{path} was not written ({error.strerror}): it will be measured again")


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with replacing_sealed(path) as part:
        part.write_bytes(npz_bytes(arrays))


def _arrays(path: Path) -> dict[str, np.ndarray] | None:
    """A file's arrays; None where there is none or it is damaged."""
    return believed(path, _sealed_arrays)


def _sealed_arrays(path: Path) -> dict[str, np.ndarray]:
    check_sealed(path)
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _result(path: Path, seal: str) -> Result:
    """A result whose text has this sha256."""
    text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != seal:
        raise ValueError(WRONG)
    return Result.from_json(text.decode())


def _numbers(path: Path) -> dict[str, Any]:
    """The numbers of a file that is in its own place."""
    numbers: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if numbers.pop("sha256", None) != checksum(numbers) or numbers.pop("key") != path.stem:
        raise ValueError(WRONG)
    return numbers
