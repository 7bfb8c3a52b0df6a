"""What images are compared with, where that is not a data set as it is: other images, or moments.

It has the attributes of a data set after ``setup()`` that evaluations read. ``train`` is the
reference and ``test`` what the noise floor is measured on; either may be absent.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.moments.file import StatisticsFile, is_statistics
from eval.source.stored import StoredImages, stored
from zoo import paths


@dataclass
class Compared:
    """A reference, and perhaps held-out images.

    Attributes:
        name: what results call it.
        shape: (C, H, W), or None where moments do not say.
        train: the reference images, or None.
        test: held-out images, or None: then there is no noise floor.
        reference: which images ``train`` are, for the protocol.
        held_out: which images ``test`` are.
        statistics: the moments of the reference, or None.
        flip: mirrored reference images are neighbours too.
        num_classes: of the images, or None.
    """

    name: str
    shape: tuple[int, int, int] | None
    train: Any = None
    test: Any = None
    reference: str = "train"
    held_out: str = "test"
    statistics: StatisticsFile | None = None
    flip: bool = False
    num_classes: int | None = None

    @property
    def fingerprint(self) -> str:
        """sha256 of everything there is."""
        parts = (self.train, self.test, self.statistics)
        told = " ".join("none" if part is None else part.fingerprint for part in parts)
        return hashlib.sha256(told.encode()).hexdigest()


def with_splits(data: Any, reference: str, held_out: str | None, whole: bool = False) -> Any:
    """A data set whose split ``reference``, "train" or "test", is compared with.

    The noise floor comes from the other split, or from the one that ``held_out`` names.

    Args:
        data: after ``setup()``.
        reference: the split compared with.
        held_out: the other one, or None.
        whole: a ``Compared`` in any case; else the data set itself where it is compared as it is.

    Raises:
        ValueError: both are one split.
    """
    other = "test" if reference == "train" else "train"
    held_out = held_out or other
    if held_out == reference:
        raise ValueError(
            f"reference={reference} and held_out={held_out} are one split: its floor would be 0"
        )
    if (reference, held_out) == ("train", "test") and not whole:
        return data
    return Compared(
        data.name,
        tuple(data.shape),
        getattr(data, reference),
        getattr(data, held_out),
        reference,
        held_out,
        flip=data.flip and reference == "train",
        num_classes=data.num_classes,
    )


def compared(reference: str, held_out: str | None = None, shape: Any = None) -> Compared:
    """Images or a statistics file as the reference, images as what is held out.

    Args:
        reference: a folder, zip, npz or parquet of images, or an npz of statistics; relative names
            are looked for here, then under ``ZOO_DATA``.
        held_out: images, or None.
        shape: (C, H, W) that is asked for; the reference's own when None.

    Raises:
        ValueError: a file is missing, broken, or of another shape; it is named.
    """
    path, statistics, train = _found(reference), None, None
    if is_statistics(path):
        statistics = StatisticsFile(path)
        train = stored(path) if "arr_0" in statistics.names else None  # ADM's hold images too
    else:
        train = stored(path, shape)
    if shape is None and train is not None:
        shape = train.shape
    test = None if held_out is None else stored(_found(held_out), shape)
    shape = shape or (None if test is None else test.shape)
    return Compared(
        path.stem,
        None if shape is None else tuple(shape),
        train,
        test,
        path.name,
        "none" if held_out is None else Path(held_out).name,
        statistics,
        num_classes=_classes(train),
    )


def _found(name: str) -> Path:
    """As named, or under ``ZOO_DATA``; as named where it is in neither."""
    path, root = Path(name).expanduser(), paths.data_root()
    if not path.exists() and root is not None and (root / path).exists():
        return root / path
    return path


def _classes(images: StoredImages | None) -> int | None:
    labels = None if images is None else images.labels
    return None if labels is None else int(labels.max()) + 1
