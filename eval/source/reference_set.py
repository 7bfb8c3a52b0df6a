"""References for comparison: a data set's splits, other images, or moments in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eval.moments.file import StatisticsFile, is_statistics
from eval.source.stored import open_images
from zoo import paths
from zoo.data import ImageData
from zoo.data.image_set import ImageSet, joined
from zoo.data.picture import DECODING

SPLITS = ("train", "test")


@dataclass
class ReferenceSet:
    """A reference, and perhaps held-out images.

    Attributes:
        name: of the data, in results.
        shape: (C, H, W), or None where moments do not say.
        train: the reference images, or None.
        test: held-out images, or None: then there is no noise floor.
        reference: which images ``train`` are, for the protocol.
        held_out: which images ``test`` are.
        statistics: the moments of the reference, or None.
        flip: whether mirrored reference images count as neighbours too.
        num_classes: of the images, or None.
    """

    name: str
    shape: tuple[int, int, int] | None
    train: ImageSet | None = None
    test: ImageSet | None = None
    reference: str = "train"
    held_out: str = "test"
    statistics: StatisticsFile | None = None
    flip: bool = False
    num_classes: int | None = None

    @property
    def fingerprint(self) -> str:
        """sha256 of the fingerprints of all its parts."""
        parts: list[ImageSet | StatisticsFile | None] = [self.train, self.test]
        parts += [] if self.statistics is None else [self.statistics]
        return joined(["none" if part is None else part.fingerprint for part in parts])

    @property
    def decoding(self) -> str:
        """How files become pixels, for the protocol; moments were made of pixels elsewhere."""
        if self.statistics is None:
            return DECODING
        recorded = self.statistics.facts.get("images", {}).get("decoding", "not recorded")
        if recorded == DECODING:
            return DECODING
        return f"{DECODING}; of the reference's moments: {recorded}"

    @property
    def num_reference(self) -> int | None:
        """How many reference images there are; None where a statistics file does not say."""
        if self.statistics is not None:
            return self.statistics.count
        return None if self.train is None else len(self.train)

    @classmethod
    def of(
        cls, data: ImageData | ReferenceSet, reference: str = "train", held_out: str | None = None
    ) -> ReferenceSet:
        """A data set with its split ``reference``, "train" or "test", as the reference.

        The noise floor comes from the other split, or from the one that ``held_out`` names.

        Args:
            data: after ``setup()``; a reference set is returned as it is.
            reference: a split's name.
            held_out: a split's name, or None.

        Raises:
            ValueError: both are the same split, or the data are not set up.
        """
        if isinstance(data, ReferenceSet):
            return data
        if not hasattr(data, "train"):
            raise ValueError(
                f"a {type(data).__name__} has no splits: data are a ReferenceSet, or a data set "
                "after prepare_data() and setup()"
            )
        held_out = held_out or ("test" if reference == "train" else "train")
        if held_out == reference:
            raise ValueError(
                f"reference={reference} and held_out={held_out} are one split: its floor would be 0"
            )
        return cls(
            data.name,
            data.shape,
            getattr(data, reference),
            getattr(data, held_out),
            reference,
            held_out,
            flip=data.flip and reference == "train",
            num_classes=data.num_classes,
        )


def reference_set(
    reference: str, held_out: str | None = None, shape: tuple[int, int, int] | None = None
) -> ReferenceSet:
    """A reference of stored images or of a statistics file, with held-out images.

    Args:
        reference: a folder, zip, npz or parquet of images, or an npz of statistics; relative paths
            are searched here, then under ``ZOO_DATA``.
        held_out: images, or None.
        shape: (C, H, W) of the images to be compared; the reference's own when None.

    Raises:
        ValueError: a file is missing, broken, or of another shape; it is named.
    """
    path, statistics, train = paths.resolve(reference), None, None
    if is_statistics(path):
        statistics = StatisticsFile(path)
        if "arr_0" in statistics.names:  # ADM's evaluator stores some images beside the moments
            train = open_images(path)
    else:
        train = open_images(path, shape)
    if shape is None and train is not None:
        shape = train.shape
    test = None if held_out is None else open_images(held_out, shape)
    return ReferenceSet(
        path.stem,
        shape or (None if test is None else test.shape),
        train,
        test,
        path.name,
        "none" if held_out is None else Path(held_out).name,
        statistics,
        num_classes=None if train is None or train.labels is None else int(train.labels.max()) + 1,
    )
